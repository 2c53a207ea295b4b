"""Tables of interpretations: who reads whose states, what else names their concepts, what reading
through a scale and a bias gives, how far confidence can be trusted, and what follows a state that
is moved. Where a run has not measured a number, its cell is empty."""

from pathlib import Path
from typing import Any

from benchmarks.committed import metrics_of
from pipeline.core.files import read_json
from pipeline.core.params import load_params
from pipeline.core.records import AFFINE, AFFINE_CONTROLS, BASELINES, CROSSINGS, REFERENCES
from pipeline.evaluation.confidence import CLOSED, CONFIDENT_READERS, COVERAGES, SAID
from pipeline.evaluation.moved_states import FOLLOWS
from pipeline.reporting.comparison import corrected
from pipeline.reporting.markdown import drawn, said

PERSONAS = Path("benchmarks/results/personas.json")
SPLITS = ("test", "novel")
COMPARED = ("base", "true_negatives")
NAMES = {
    "state": "the model, of its own state",
    "base_reader": "the base model, of that state",
    "base_state": "the model, of the base model's state",
    AFFINE: "the model, of its own state through a trained scale and bias",
    "reader_only": "a reader of the base model's states that was taught the labels",
    "input_only": "the model, of the text in words",
    "logit_lens": "the logit lens of that state",
    "nearest_text": "the nearest training text, in words",
    "probe": "a probe of that state",
}

OTHERS = (*BASELINES, AFFINE, *REFERENCES)  # that the model's own reading is held against


def table_of_crossings() -> str:
    """Changes from the untouched model reading its own states, and what the reader adds."""
    layer, position = _asked()
    columns = {
        "own reader, own states": ("difference", layer, "state"),
        "base reader, own states": ("difference.crossed", "", "base_reader"),
        "own reader, base states": ("difference.crossed", "", "base_state"),
        "probe of own states": ("difference.crossed", "", "probe"),
        "own minus base reader": ("ahead_of", "", "base_reader"),
        "own minus reader training alone": ("ahead_of", "", "reader_only"),
    }
    found = {
        (name, split, column): _at(_selfie(name), *branch.split("."), at, split, position, number)
        for name in load_params().variants
        if name != "base"
        for split in SPLITS
        for column, (branch, at, number) in columns.items()
    }
    changes = corrected(found)
    rows = [
        [f"`{name}`, {split}", *(said(changes[name, split, column], "+") for column in columns)]
        for name, split in dict.fromkeys(key[:2] for key in found)
    ]
    return drawn(["variant", *columns], rows)


def table_of_namers() -> str:
    """How often each names the concept; of the base model and of one finetune."""
    layer, position = _asked()
    found = {}
    for number in NAMES:
        at = "crossed" if number in (*CROSSINGS, *REFERENCES, AFFINE) else layer
        for name in COMPARED:
            for split in SPLITS:
                estimate = _at(_selfie(name), at, split, position, number)
                found[number, f"`{name}`, {split}"] = estimate
    columns = list(dict.fromkeys(column for _, column in found))
    rows = [[label, *(said(found[number, column]) for column in columns)]
            for number, label in NAMES.items()]  # fmt: skip
    return drawn(["who names the concept", *columns], rows)


def table_of_leads() -> str:
    """How far the model's own reading of its own states is above all that may beat chance."""
    _, position = _asked()
    columns = {f"`{name}`, {split}": (name, split) for name in COMPARED for split in SPLITS}
    found = {
        (other, column): _at(_selfie(name), "ahead_of", split, position, other)
        for other in OTHERS
        for column, (name, split) in columns.items()
    }
    changes = corrected(found)
    rows = [[NAMES[other], *(said(changes[other, column], "+") for column in columns)]
            for other in OTHERS]  # fmt: skip
    return drawn(["own reading minus", *columns], rows)


READINGS = {
    "state": "untrained",
    AFFINE: "a trained scale and bias",
    "affine_bias": "its bias alone, without the state",
    "affine_other": "another text's state through it",
    "affine_shuffled": "a scale and bias that shuffled labels taught",
    "reader_only": "a LoRA of the reader, base model's states",
}
CONFIDENCES = {SAID: "what is said", CLOSED: "the likeliest name"}


def table_of_affine() -> str:
    """Accuracy and topic recall of every way of reading."""
    layer, position = _asked()
    crossed = (AFFINE, *AFFINE_CONTROLS, "reader_only")
    columns = {f"{label}, `{name}`": (label, name)
               for label in ("accuracy", "topic recall") for name in COMPARED}  # fmt: skip
    rows = []
    for way, read_through in READINGS.items():
        at = {"accuracy": "crossed" if way in crossed else layer, "topic recall": "recall"}
        for split in SPLITS:
            cells = [said(_at(_selfie(name), at[label], split, position, way))
                     for label, name in columns.values()]  # fmt: skip
            rows.append([f"{read_through}, {split}", *cells])
    return drawn(["read through", *columns], rows)


def table_of_affine_leads() -> str:
    """How far affine reading is above what it is held against, text by text."""
    _, position = _asked()
    columns = {f"`{name}`, {split}": (name, split) for name in COMPARED for split in SPLITS}
    found = {
        (other, column): _at(_selfie(name), "affine_ahead_of", split, position, other)
        for other in ("state", "reader_only", *AFFINE_CONTROLS)
        for column, (name, split) in columns.items()
    }
    changes = corrected(found)
    rows = [[READINGS[other], *(said(changes[other, column], "+") for column in columns)]
            for other in dict.fromkeys(other for other, _ in found)]  # fmt: skip
    return drawn(["a trained scale and bias minus", *columns], rows)


def table_of_confidence() -> str:
    """How sure readings are, how often they are right, and how often the surest are."""
    _, position = _asked()
    columns = {
        "right": "accuracy", "mean confidence": "mean", "calibration error": "calibration_error",
    }  # fmt: skip
    gains = {f"surest {share} % minus all": f"gain_at_{share}" for share in COVERAGES}
    found = {
        f"{READINGS[way]}: {label}, `{name}`, {split}":
            _at(_selfie(name), "confidence", split, position, way, kind)
        for way in CONFIDENT_READERS
        for kind, label in CONFIDENCES.items()
        if (way, kind) != ("reader_only", CLOSED)
        for name in COMPARED
        if (way, name) != ("reader_only", COMPARED[1])  # the same for every variant
        for split in SPLITS
    }  # fmt: skip
    ahead = corrected({(reading, gain): _at(own, gain)
                       for reading, own in found.items() for gain in gains.values()})  # fmt: skip
    rows = [
        [reading, *(said(_at(own, number)) for number in columns.values()),
         *(said(ahead[reading, gain], "+") for gain in gains.values())]
        for reading, own in found.items()
    ]  # fmt: skip
    return drawn(["reading", *columns, *gains], rows)


WHO = {
    "told": "the told model itself",
    "taught": "a reader that was not told, taught on other persons",
    "base": "the base model",
}
GIVEN = {
    "told_state": "the name's state in the told model",
    "base_state": "its state in the base model",
    "other_state": "another person's state in the told model",
    "words": "the name in words",
}


def table_of_personas() -> str:
    """Who names attributes of made-up persons, from what; and how far the told model's states are
    ahead."""
    found = read_json(PERSONAS) if PERSONAS.is_file() else {}
    ahead = {(who, given): _at(found, who, "ahead", given) for who in WHO for given in GIVEN}
    changes = corrected(ahead)
    rows = []
    for who, label in WHO.items():
        own = [_at(found, who, "accuracy", given) for given in GIVEN]
        rows.append([label, *(said(share, band=False) for share in own)])
        leads = [said(changes[who, given], "+", band=False) for given in GIVEN]
        rows.append(["its told state minus that", *leads])
    return drawn(["who is asked", *GIVEN.values()], rows)


def table_of_moves() -> str:
    """What is said of moved states, by how far they were moved."""
    _, position = _asked()
    columns = {
        "says the other concept": ("concept", "target"),
        "as far in a random direction": ("random", "target"),
        "difference": (FOLLOWS, ""),
        "still says its own": ("concept", "own"),
    }
    sizes = [(name, size) for name in COMPARED for size in (0, *load_params().selfie.moves)]
    found = {
        (name, size, column): _at(_selfie(name), "moved", position, direction, f"by_{size}", number)
        for name, size in sizes
        for column, (direction, number) in columns.items()
    }
    changes = corrected(found)
    signs = {column: "+" if at == FOLLOWS else "" for column, (at, _) in columns.items()}
    rows = [[f"`{name}`, {size} %",
             *(said(changes[name, size, column], sign) for column, sign in signs.items())]
            for name, size in sizes]  # fmt: skip
    return drawn(["moved by", *columns], rows)


def _asked() -> tuple[str, str]:
    """The layer's branch and the position of the states that are asked about."""
    asking = load_params().asking
    return f"layer_{asking.layer}", asking.positions[0]


def _selfie(variant: str) -> Any:
    return metrics_of(f"selfie/{variant}.json")


def _at(tree: Any, *keys: str) -> Any:
    """What stands there, or nothing; an empty key leads nowhere further."""
    for key in filter(None, keys):
        tree = tree.get(key, {})
    return tree
