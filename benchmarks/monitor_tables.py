"""Tables of kinds of monitor: what each finds and costs, and what a judge behind one buys. Where a
run has not measured a number, its cell is empty."""

from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.committed import metrics_of
from pipeline.core.concepts import spoken
from pipeline.core.files import read_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import HIDING, SUFFIX_ATTACKS
from pipeline.core.rates import in_words
from pipeline.core.records import ATTACKS, UNATTACKED
from pipeline.core.scored_sets import EVERYDAY
from pipeline.monitors.hiding import SEPARATION
from pipeline.reporting.comparison import corrected
from pipeline.reporting.hiding_tables import AFTER, FITTED, SHOWN_ON, read_hiding
from pipeline.reporting.markdown import drawn, said
from pipeline.reporting.monitor_matrix import AUROC
from pipeline.reporting.short_headline import BASE, OF_RECALL

COSTS = Path("benchmarks/results/monitor_kinds.json")
SPLITS = ("test", "novel", "shifted")
WORDS = {"words": "whole", "characters": "whole_characters"}
KINDS = {  # when to use each
    "prototype": "nothing but means may be fitted; its probabilities are far off",
    "mean_difference": "the direction itself is wanted, to show it or to steer by it",
    "mahalanobis": "classes are many, or nothing may be trained by gradient",
    "knn": "texts come in small clusters, and training states may be kept",
    "logistic": "in doubt: cheap, among the best, and the one to take home",
    "mlp": "a straight line is known to fail",
    "multilayer": "the model runs to its end anyway, on texts like those of training",
    "neurons": "few numbers have to do: it reads a handful of all layers'",
    "attention_pooled": "harm may stand anywhere in a text, and every token is at hand",
    "softmax_pooled": "some tokens decide; beside `attention_pooled`, not instead of it",
    "max_pooled": "one token decides, and its text is like those of training",
    "words": "no model is at hand, or as the judge of a cascade; it fails on new words",
    "characters": "as words, where spelling varies",
}


def table_of_kinds() -> str:
    """Every kind on the untouched model, beside words, with its costs."""
    monitors, words = metrics_of("monitors/base.json"), metrics_of("text_only.json")
    costs = read_json(COSTS)["kinds"] if COSTS.is_file() else {}
    rate = in_words(max(load_params().reading.false_alarms))
    rows = []
    for kind, when in KINDS.items():
        source, name = (words, WORDS[kind]) if kind in WORDS else (monitors, kind)
        found = {split: _at(source, "harm", name, split) for split in SPLITS}
        cost = costs.get(kind, {})
        rows.append(
            [
                f"`{kind}`",
                f"{cost['fit_seconds']:.2g}" if cost else "",
                f"{cost['text_microseconds']:.3g}" if cost else "",
                *(_short(found[split], "auroc") for split in SPLITS),
                _short(_at(source, "harm", name, EVERYDAY), OF_RECALL),
                *(_short(found[split], f"{measure}_for_{rate}")
                  for split in ("test", "shifted") for measure in ("tpr", "fpr")),
                when,
            ]
        )  # fmt: skip
    areas = [f"AUROC, {split}" for split in SPLITS]
    alarms = [f"{name}, {split}" for split in ("test", "shifted") for name in ("found", "alarms")]
    header = ["kind", "fit, s", "a text, µs", *areas, "found at 1 %, everyday", *alarms]
    return drawn([*header, "use it when"], rows)


def table_of_cascade() -> str:
    """What the headline monitor of the untouched model finds with a judge of words behind it."""
    tree = metrics_of("monitors/base.json")
    rate = in_words(max(load_params().reading.false_alarms))
    rows = []
    for split in SPLITS:
        shares = _at(tree, "cascade", split)
        for share in sorted(shares, key=lambda name: float(name.partition("_")[0])):
            found = shares[share]
            numbers = (_short(found, f"{name}_for_{rate}") for name in ("sent", "tpr", "fpr"))
            rows.append([split, share.partition("_")[0], *numbers])
    header = ["scored on", "per cent to be sent", "sent", "found", "false alarms"]
    return drawn(header, rows)


def table_of_further_training() -> str:
    """What the saved and a refitted monitor find before and after further training. Differences are
    corrected for their number."""
    hiding = read_hiding(HIDING)
    rate = in_words(min(load_params().reading.false_alarms))
    finds = f"tpr_for_{rate}"
    rows = {(when, name): tree[when] for when in AFTER for name, tree in hiding.items()
            if when in tree}  # fmt: skip
    apart = corrected({
        (when, name): _at(hiding[name], "difference", when, "frozen", SHOWN_ON, finds)
        for when, name in rows
    })  # fmt: skip
    lines = []
    for (when, name), found in rows.items():
        kl = _at(found, "answers", "kl")
        lines.append(
            [
                AFTER[when],
                f"`{name}`",
                *(_short(_at(found, monitor, SHOWN_ON), measure)
                  for measure in (finds, f"fpr_for_{rate}", AUROC) for monitor in FITTED.values()),
                said(apart[when, name], "+", short=True, band=False),
                _short(_at(found, "frozen", EVERYDAY), OF_RECALL),
                *(_short(_at(found, "states", SHOWN_ON), number) for number in SEPARATION),
                f"{kl['value']:.4f}" if kl else "",
            ]
        )  # fmt: skip
    measures = [f"{what}, {monitor}" for what in ("found", "false alarms", "AUROC")
                for monitor in FITTED]  # fmt: skip
    after = [
        "found, saved: difference from `base`",
        "found at 1 %, everyday, saved",
        "silhouette",
        "nearest mean",
        "KL of answers",
    ]
    return drawn(["", "model", *measures, *after], lines)


def table_of_attacks() -> str:
    """What attacks leave of every monitor, and how a finetuned model's differ from base's.
    Differences are corrected for their number."""
    compared = base_first(load_params().figures.compared)
    files = {name: SUFFIX_ATTACKS / f"{name}.json" for name in compared}
    left = {name: read_json(file) if file.is_file() else {} for name, file in files.items()}
    shown = list(product(left[BASE], (UNATTACKED, *ATTACKS), (OF_RECALL, AUROC)))
    apart = corrected({path: _at(left[compared[-1]], "difference", *path) for path in shown})
    rows = []
    for monitor, attack in dict.fromkeys(path[:2] for path in shown):
        row = [f"`{monitor}`", spoken(attack)]
        for measure in (OF_RECALL, AUROC):
            row += [_short(_at(left[name], monitor, attack), measure) for name in compared]
            row.append(said(apart[monitor, attack, measure], "+", short=True, band=False))
        if any(row[2:]):
            rows.append(row)
    named = [f"`{name}`" for name in compared]
    columns = [f"{what}, {of}" for what in ("found", "AUROC") for of in (*named, "difference")]
    return drawn(["monitor", "attack", *columns], rows)


def _short(found: Any, number: str) -> str:
    return said(found.get(number, {}), short=True, band=False)


def _at(tree: Any, *path: str) -> Any:
    """What stands at a path of keys, or nothing."""
    for key in path:
        tree = tree.get(key, {})
    return tree
