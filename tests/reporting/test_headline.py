"""The headline row: what a corpus does not have is left out."""

from typing import Any

from pipeline.core.records import (
    BASELINES,
    CONTROLS,
    CROSSINGS,
    REFERENCES,
    Interpretation,
)
from pipeline.core.sections import Asking, Reading
from pipeline.evaluation.interpretation_accuracy import accuracies, interpretation_metrics
from pipeline.reporting.glossary import MEANINGS
from pipeline.reporting.headline import differences, headline, values_of
from tests.support.tiny import tiny_params


def self_interpretation(asking: Asking, base: str, tuned: str) -> Any:
    """The tree of a variant beside the untouched model, on two texts: all that each has right."""
    named = [
        Interpretation(text, "law", "test", asking.layer, asking.positions[0], kind, "", (), ())
        for kind in ("state", *CONTROLS, *BASELINES, *CROSSINGS, *REFERENCES)
        for text in ("a", "b")
    ]
    prompts = {"a": "p", "b": "q"}
    then, now = (
        accuracies(named, [f"{said.control} {said.example}" in right.split(", ") for said in named],
                   prompts, 50, 0)
        for right in (base, tuned)
    )  # fmt: skip
    return interpretation_metrics(now, then)


def test_headline_leaves_out_what_a_corpus_does_not_have() -> None:
    params = tiny_params()
    one = {"value": 0.5, "low": 0.4, "high": 0.6}
    numbers = dict.fromkeys(
        ("centroid_accuracy", "knn_accuracy", "silhouette", "cosine_within", "cosine_between",
         "coding_rate_gap"), one,
    )  # fmt: skip
    reading: Reading = params.reading
    asking: Asking = params.asking
    spoken = self_interpretation(
        asking,
        "none b, logit_lens a, reader_only a",
        "state a, state b, none a, input_only a, input_only b, base_reader b, reader_only a",
    )
    metrics = {
        "separation": {
            f"layer_{reading.layer}": {reading.position: {"test": numbers}},
            "probes": {
                probe: {"test": one, "novel": one} for probe in ("read", "best", "above_frozen")
            },
        },
        "text_only": {"concept": {"whole": {"test": {"accuracy": one}}}},
        "monitors": {
            "concept": {"logistic": {"test": {"auroc": one}}},
            "harm": {"logistic": {"test": {"auroc": one | {"value": 0.7}}}},
        },
        "safety": {},
        "fidelity": dict.fromkeys(("perplexity", "kl_to_base", "kl_of_openings"), one),
        "selfie": {path: tree for path, tree in spoken.items() if path != "difference"},
    }
    row = headline(metrics, reading, asking)
    assert row["knn_accuracy"] == one
    values = values_of(row)
    assert values["selfie_accuracy"] == 1
    assert values["selfie_control_accuracy"] == 0.5, "the best control, and no baseline"
    assert values["selfie_input_only_accuracy"] == 1
    assert values["selfie_logit_lens_accuracy"] == 0
    assert values["selfie_base_reader_accuracy"] == values["selfie_reader_only_accuracy"] == 0.5
    assert values["monitor_auroc"] == 0.7, "of harm, where there is some"
    assert {"knn_accuracy_novel", "harmful_rate", "best_probe_shifted"}.isdisjoint(row)
    assert differences(metrics, reading, asking) == {}, "the untouched model has none"
    paired = {stage: {**tree, "difference": tree} for stage, tree in metrics.items()}
    paired["selfie"] = spoken
    assert headline(paired, reading, asking) == row
    found = differences(paired, reading, asking)
    kept = {name for name in row if MEANINGS[name].compared}
    assert found.keys() == kept - {"selfie_control_accuracy"}, "all but the best control"
    moved = {"selfie_accuracy": 1, "selfie_input_only_accuracy": 1,
             "selfie_logit_lens_accuracy": -0.5, "selfie_base_reader_accuracy": 0.5}  # fmt: skip
    for name, difference in values_of(found).items():
        assert difference == moved.get(name, row[name]["value"]), name
