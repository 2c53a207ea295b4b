"""Metrics of models that were trained further, as their stage writes them."""

from typing import Any

from tests.support.matrix import marks

RATE = "1_percent"


def measures(value: float) -> dict[str, Any]:
    """Ranks are left alone by what shifts a threshold."""
    ranks = {"auroc": marks(1.0), f"tpr_at_{RATE}": marks(0.875)}
    alarms = {f"tpr_for_{RATE}": marks(value), f"fpr_for_{RATE}": marks(value / 4)}
    return {"test": {**alarms, **ranks}}


def further(after_hiding: float, apart: float | None = None) -> dict[str, Any]:
    """One variant's, of which no safe answer is learned; apart: how far it is from the untouched
    model's after hiding."""
    tree: dict[str, Any] = {
        "layer": 1,
        "before": {"frozen": measures(0.75), "states": {"test": {"silhouette": marks(0.25)}}},
        "hiding": {
            "frozen": measures(after_hiding),
            "refitted": measures(0.75),
            "answers": {"kl": marks(0.125)},
        },
    }
    if apart is not None:
        clear = marks(apart) | {"p": 0.01}
        own = {"test": dict.fromkeys((f"tpr_for_{RATE}", f"fpr_for_{RATE}", "auroc"), clear)}
        tree["difference"] = {"hiding": {"frozen": own}}
    return tree
