"""Tables of interpretations: who reads whose states, what else names their concepts, and what
follows a state that is moved. Where a run has not measured a number, its cell is empty."""

from typing import Any

from benchmarks.committed import metrics_of
from pipeline.core.params import load_params
from pipeline.core.records import BASELINES, CROSSINGS, REFERENCES
from pipeline.evaluation.moved_states import FOLLOWS
from pipeline.reporting.comparison import corrected
from pipeline.reporting.markdown import drawn, said

SPLITS = ("test", "novel")
COMPARED = ("base", "true_negatives")
NAMES = {
    "state": "the model, of its own state",
    "base_reader": "the base model, of that state",
    "base_state": "the model, of the base model's state",
    "reader_only": "a reader of the base model's states that was taught the labels",
    "input_only": "the model, of the text in words",
    "logit_lens": "the logit lens of that state",
    "nearest_text": "the nearest training text, in words",
    "probe": "a probe of that state",
}


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
        at = "crossed" if number in (*CROSSINGS, *REFERENCES) else layer
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
        for other in (*BASELINES, *REFERENCES)
        for column, (name, split) in columns.items()
    }
    changes = corrected(found)
    rows = [[NAMES[other], *(said(changes[other, column], "+") for column in columns)]
            for other in (*BASELINES, *REFERENCES)]  # fmt: skip
    return drawn(["own reading minus", *columns], rows)


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
