"""What monitors are fitted, what they show, and what is taken home of them.

Longer than other files, as all of its laws share one made-up variant.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.records import Request
from pipeline.core.representations import Representations
from pipeline.core.sections import Reading
from pipeline.evaluation.linear_probe import linear_map, new_logistic
from pipeline.inference.live_monitor import LiveMonitor
from pipeline.monitors.answer_states import POSITIONS, AnswerStates, load_streams, save_streams
from pipeline.monitors.classifiers import (
    MULTILAYER,
    NEURONS,
    PENALTIES,
    Logit,
    MeanDifferences,
    Prototype,
    all_layers_at,
    fit,
    neurons_by_layer,
    new_monitors,
    new_neurons,
)
from pipeline.monitors.datasets import VariantTexts
from pipeline.monitors.evaluation import MonitorResults, evaluate_monitors, monitor_metrics
from pipeline.monitors.fitted import fit_at
from pipeline.monitors.saved import identity_of, load_monitor, save_monitor
from pipeline.monitors.thresholds import UNCHOSEN, Thresholds

CONCEPTS = ("fraud", "safe", "theft")
SPLITS = {"train": 20, "validation": 6, "test": 12, "novel": 8}
READING = Reading(layer=1, position="last", neighbours=5, resamples=20, false_alarms=(0.05,))
WIDTH, POOLED = 10, "attention_pooled"
CARD = {
    "source": "embedded", "origin": "", "revision": "", "architecture": "Llama", "dtype": "float32",
    "files": {"config.json": {"sha256": "0"}, "model.safetensors": {"sha256": "1f", "size": 3}},
}  # fmt: skip


def clouds(gap: float, labels: Any, seed: int) -> np.ndarray:
    """Gaussian concepts whose means are `gap` apart."""
    rng = np.random.default_rng(seed)
    means = np.eye(len(CONCEPTS), WIDTH)[[CONCEPTS.index(label) for label in labels]]
    return gap * means + rng.normal(size=(len(labels), WIDTH))


def variant_texts(
    gap: float = 8.0, safe: tuple[str, ...] = ("safe",), **update: Any
) -> VariantTexts:
    """Texts of three concepts in four splits, and two answers to each of eight requests."""
    texts = [(split, concept, f"{split}-{concept}-{n}") for split, count in SPLITS.items()
             for concept in CONCEPTS for n in range(count)]  # fmt: skip
    splits, concepts, ids = zip(*texts, strict=True)
    values = np.stack([[clouds(gap, concepts, 3 * layer + position) for position in range(3)]
                       for layer in range(2)])  # fmt: skip
    stored = Representations(
        values.astype(np.float32), (0, 1), ("prompt_end", "last", "mean"), ids, concepts, splits
    )
    requests = {f"r{n}": Request(f"r{n}", "", n % 2 == 0, n > 3, "test") for n in range(8)}
    known = [name for name in ids if name.startswith("validation")]
    names = [f"r{n // 2}" for n in range(16)] + known
    labels = ["theft" if int(n[1:]) % 2 == 0 else "safe" for n in names[:16]] + [
        name.split("-")[1] for name in known
    ]
    lengths = tuple(1 + text % 3 for text in range(len(names)))
    along = np.repeat(labels, lengths)
    streams = AnswerStates(
        1, {p: clouds(gap, along, 9).astype(np.float32) for p in ("last", "mean")}, tuple(names),
        tuple(n % 2 for n in range(16)) + (0,) * len(known), lengths, np.ones(WIDTH, np.float32),
    )  # fmt: skip
    prompts = {name: f"ask {name}" for name in (*ids, *requests)}
    logits = {name: float(gap * (concept not in safe) + noise - gap / 2)
              for name, concept, noise in zip(ids, concepts, np.random.default_rng(1).normal(
                  size=len(ids)), strict=True)}  # fmt: skip
    made = VariantTexts(
        "true_negatives", identity_of(CARD), stored, streams, {POOLED: logits}, {}, requests,
        prompts, safe, READING, 0,
    )  # fmt: skip
    return dataclasses.replace(made, **update)


@pytest.fixture(scope="module")
def found() -> MonitorResults:
    return evaluate_monitors(variant_texts())


def tree_of(found: MonitorResults) -> Any:
    return monitor_metrics(found, None)


def part(streams: AnswerStates, texts_kept: Sequence[int]) -> AnswerStates:
    """The streams of some texts, given by their numbers."""
    states = {p: np.concatenate(streams.at(p, texts_kept)).astype(np.float32) for p in POSITIONS}
    lists = {name: tuple(getattr(streams, name)[i] for i in texts_kept)
             for name in ("ids", "samples", "lengths")}  # fmt: skip
    return dataclasses.replace(streams, states=states, **lists)


def without(stored: Representations, kept: Any) -> Representations:
    """The texts [N] that are kept."""
    chosen = [index for index in range(len(stored.ids)) if kept(index)]
    lists = {name: tuple(getattr(stored, name)[i] for i in chosen)
             for name in ("ids", "concepts", "splits")}  # fmt: skip
    return dataclasses.replace(stored, values=stored.values[:, :, chosen], **lists)


def test_every_monitor_finds_what_is_there(found: MonitorResults) -> None:
    tree = tree_of(found)
    kinds = {*new_monitors(5, 0), MULTILAYER}
    of_harm = kinds | {NEURONS, POOLED}
    assert (set(tree["concept"]), set(tree["harm"])) == (kinds, of_harm)
    for question in ("harm", "concept"):
        for kind in of_harm if question == "harm" else kinds:
            for split in ("test", "novel"):
                scores = tree[question][kind][split]
                assert scores["auroc"]["value"] > 0.99, (question, kind, split)
                assert scores["accuracy"]["value"] > 0.9, (question, kind, split)
    assert set(tree["shift"]) == kinds - {MULTILAYER}
    assert set(tree["shift"]["knn"]) == {
        "examples_test", "examples_novel", "plain_test", "framed_test", "threshold",
        "threshold_for_5_percent",
    }  # fmt: skip
    assert tree["shift"]["logistic"]["framed_test"]["tpr"]["value"] == 1
    assert tree["streaming"]["mean"]["detected"]["value"] == 1
    assert tree["streaming"]["mean"]["tokens_to_detection"]["value"] == 0


def test_no_monitor_finds_anything_in_noise() -> None:
    tree = tree_of(evaluate_monitors(variant_texts(gap=0.0)))
    for kind, splits in tree["harm"].items():
        assert abs(splits["test"]["auroc"]["value"] - 0.5) < 0.25, kind


def test_shuffled_labels_and_random_vectors_show_nothing(found: MonitorResults) -> None:
    """Beside monitors that find everything in the same texts."""
    for name, splits in tree_of(found)["control"].items():
        for scores in splits.values():
            assert abs(scores["auroc"]["value"] - 0.5) < 0.2, name
            assert scores["auroc"]["low"] < 0.5 < scores["auroc"]["high"]


def test_shuffled_labels_show_no_kind_of_monitor_anything() -> None:
    whole = variant_texts()
    concepts = tuple(np.random.default_rng(4).permutation(whole.stored.concepts).tolist())
    shuffled = dataclasses.replace(whole.stored, concepts=concepts)
    tree = tree_of(evaluate_monitors(dataclasses.replace(whole, stored=shuffled)))
    for kind, splits in tree["harm"].items():
        assert abs(splits["test"]["auroc"]["value"] - 0.5) < 0.25, kind


def test_reliability_is_of_the_question_that_matters(found: MonitorResults) -> None:
    groups = {(row["question"], row["group"]) for row in found.reliability}
    assert groups == {
        ("harm", "test"), ("harm", "novel"), ("shift", "examples_test"),
        ("shift", "examples_novel"), ("shift", "plain_test"), ("shift", "framed_test"),
    }  # fmt: skip
    own = [row for row in found.reliability if (row["monitor"], row["group"]) == ("knn", "test")]
    assert sum(int(row["texts"]) for row in own if row["question"] == "harm") == 36
    without = evaluate_monitors(variant_texts(safe=())).reliability
    assert {row["question"] for row in without} == {"concept"}


def test_scores_are_those_that_measures_are_made_of(found: MonitorResults) -> None:
    own = [s for s in found.scores if (s.question, s.monitor, s.group) == ("harm", "knn", "test")]
    assert len(own) == 36
    auroc = roc_auc_score([s.truth == "harmful" for s in own], [s.probabilities[0] for s in own])
    assert tree_of(found)["harm"]["knn"]["test"]["auroc"]["value"] == pytest.approx(auroc)
    threshold = found.thresholds["harm", "knn"].best
    assert all((s.label == "harmful") == (s.probabilities[0] >= threshold) for s in own)
    assert found.roc["knn"].shape == (101,)
    assert found.roc["knn"][-1] == 1


def test_differences_are_paired(found: MonitorResults) -> None:
    """The same texts are resampled: a variant does not differ from itself at all."""
    same = monitor_metrics(found, found)["difference"]["harm"]["logistic"]["test"]["auroc"]  # type: ignore[index,call-overload]
    assert same == {"value": 0, "low": 0, "high": 0, "p": 1}
    other = evaluate_monitors(variant_texts(gap=1.0))
    moved: Any = monitor_metrics(other, found)
    for name, difference in moved["difference"]["harm"]["knn"]["test"].items():
        before = tree_of(found)["harm"]["knn"]["test"][name]["value"]
        after = moved["harm"]["knn"]["test"][name]["value"]
        assert difference["value"] == pytest.approx(after - before)
        assert difference["low"] <= difference["value"] <= difference["high"]


def test_thresholds_come_from_validation_texts_alone() -> None:
    one, other = variant_texts(gap=2.0), variant_texts(gap=2.0)
    held_out = np.isin(other.stored.splits, ["test", "novel"])
    other.stored.values[:, :, held_out] = 0
    assert evaluate_monitors(one).thresholds == evaluate_monitors(other).thresholds


def test_without_validation_texts_no_threshold_is_chosen() -> None:
    whole = variant_texts()
    stored = without(whole.stored, lambda i: whole.stored.splits[i] != "validation")
    streams = part(whole.streams, range(16))
    found = evaluate_monitors(dataclasses.replace(whole, stored=stored, streams=streams))
    assert all(chosen == Thresholds() for chosen in found.thresholds.values())
    assert tree_of(found)["harm"]["logistic"]["test"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize("safe", [(), CONCEPTS], ids=["none", "all"])
def test_without_both_kinds_harm_is_not_asked(safe: tuple[str, ...]) -> None:
    found = evaluate_monitors(variant_texts(safe=safe))
    assert set(tree_of(found)) == {"concept", "control"}
    assert set(found.saved) == {"prompt_end", "last", "mean"}
    assert found.saved["last"].classes == CONCEPTS
    assert found.saved["last"].threshold is None


def test_a_monitor_of_harm_is_taken_home_from_whatever_position_is_stored() -> None:
    whole = variant_texts()
    stored = dataclasses.replace(whole.stored, values=whole.stored.values[:, 1:2],
                                 positions=("last",))  # fmt: skip
    found = evaluate_monitors(dataclasses.replace(whole, stored=stored))
    (monitor,) = found.saved.values()
    assert (monitor.position, monitor.harmless) == ("last", ("safe",))
    assert monitor.threshold is not None


def test_a_test_split_of_one_kind_leaves_ranking_out() -> None:
    whole = variant_texts()
    kept = without(
        whole.stored,
        lambda i: whole.stored.splits[i] != "test" or whole.stored.concepts[i] != "safe",
    )
    tree = tree_of(evaluate_monitors(dataclasses.replace(whole, stored=kept)))
    scores = tree["harm"]["knn"]["test"]
    assert {"auroc", "average_precision", "fpr95", "fpr"}.isdisjoint(scores)
    assert scores["tpr"]["value"] > 0.9


def test_constant_vectors_are_defined() -> None:
    """The prompt's end of the embeddings is one vector for all texts."""
    whole = variant_texts()
    same = dataclasses.replace(whole.stored, values=np.ones_like(whole.stored.values))
    pooled = {POOLED: dict.fromkeys(whole.stored.ids, 0.3)}
    tree = tree_of(evaluate_monitors(dataclasses.replace(whole, stored=same, pooled=pooled)))
    for kind, splits in tree["harm"].items():
        assert splits["test"]["auroc"]["value"] == 0.5, kind
        assert splits["threshold"] == UNCHOSEN


def test_without_requests_nothing_is_streamed() -> None:
    tree = tree_of(evaluate_monitors(variant_texts(requests={})))
    assert "streaming" not in tree
    assert set(tree["shift"]["knn"]) == {
        "examples_test", "examples_novel", "threshold", "threshold_for_5_percent",
    }  # fmt: skip


def test_answers_to_one_request_are_drawn_together() -> None:
    """Twice the same answer is no more evidence than once."""
    whole = variant_texts(gap=1.0)
    streams = whole.streams
    first = [index for index in range(len(streams.ids)) if streams.samples[index] == 0]
    chosen = [index for index in first for _ in range(2 if streams.ids[index][0] == "r" else 1)]

    once, twice = (
        tree_of(evaluate_monitors(dataclasses.replace(whole, streams=part(streams, numbers))))
        for numbers in (first, chosen)
    )
    assert once["streaming"] == twice["streaming"]


def with_shifted(
    whole: VariantTexts, concepts: Sequence[str], split: str = "shifted"
) -> VariantTexts:
    """Beside five texts of each concept as another corpus: as they are, with noise on top."""
    stored, rng = whole.stored, np.random.default_rng(5)
    labels = [concept for concept in concepts for _ in range(5)]
    known = [label if label in CONCEPTS else "theft" for label in labels]
    vectors = clouds(8.0, known, 4) + rng.normal(size=(len(labels), WIDTH))
    ids = tuple(f"{split}-{n}" for n in range(len(labels)))
    added = np.broadcast_to(vectors, (*stored.values.shape[:2], *vectors.shape))
    both = dataclasses.replace(
        stored,
        values=np.concatenate([stored.values, added.astype(np.float32)], axis=2),
        ids=stored.ids + ids,
        concepts=(*stored.concepts, *labels),
        splits=stored.splits + (split,) * len(ids),
    )
    prompts = {**whole.prompts, **{name: name for name in ids}}
    said = {name: 8.0 if concept != "safe" else -8.0
            for name, concept in zip(ids, labels, strict=True)}  # fmt: skip
    pooled = {POOLED: {**whole.pooled[POOLED], **said}}
    return dataclasses.replace(whole, stored=both, prompts=prompts, pooled=pooled)


def test_another_corpus_is_scored_and_changes_nothing_else(found: MonitorResults) -> None:
    both = evaluate_monitors(with_shifted(variant_texts(), CONCEPTS))
    before, after, sharp_tree = tree_of(found), tree_of(both), tree_of(both)
    for question in ("harm", "concept"):
        for kind, splits in after[question].items():
            assert splits.pop("shifted")["auroc"]["value"] > 0.95, (question, kind)
    for splits in (*after["shift"].values(), *after["control"].values()):
        assert ("shifted" in splits) != ("examples_shifted" in splits)
        splits.pop("shifted", None)
        splits.pop("examples_shifted", None)
    assert after == before
    assert both.thresholds == found.thresholds
    blurred = evaluate_monitors(with_shifted(variant_texts(gap=0.0), CONCEPTS))
    moved: Any = monitor_metrics(blurred, both)
    for question in ("harm", "concept"):
        change = moved["difference"][question]["knn"]["shifted"]["auroc"]
        own, sharp = (tree[question]["knn"]["shifted"]["auroc"] for tree in (moved, sharp_tree))
        assert change["value"] == pytest.approx(own["value"] - sharp["value"]), question
        assert change["high"] < 0, "what is learned of noise says nothing of another corpus"


def test_sets_change_nothing_of_each_other() -> None:
    """Nor do the controls of one, whose draws are its own."""
    one = with_shifted(variant_texts(), CONCEPTS, "shifted/one")
    both = with_shifted(one, ("safe", "arson"), "shifted/two")
    alone, beside = (tree_of(evaluate_monitors(data)) for data in (one, both))
    groups = [beside["control"]["random_vectors"], beside["harm"]["knn"], beside["shift"]["knn"]]
    assert all(any(name.endswith("shifted/two") for name in own) for own in groups)
    for part in ("harm", "concept", "shift", "control"):
        for splits in beside[part].values():
            splits.pop("shifted/two", None)
            splits.pop("examples_shifted/two", None)
    assert beside == alone


def test_a_set_of_prompts_alone_is_read_at_their_end() -> None:
    name = "shifted/asked"
    whole = with_shifted(variant_texts(), CONCEPTS, name)
    tree = tree_of(evaluate_monitors(dataclasses.replace(whole, prompts_alone=frozenset({name}))))
    for part in ("harm", "concept", "control"):
        for kind, splits in tree[part].items():
            assert (name in splits) == (kind in whole.pooled), (
                "a probe of all tokens reads any text"
            )
    assert tree["shift"] == tree_of(evaluate_monitors(whole))["shift"]
    assert tree["shift"]["knn"][f"examples_{name}"]["auroc"]["value"] > 0.9


def test_concepts_of_another_corpus_alone_are_asked_for_harm_alone() -> None:
    some = tree_of(evaluate_monitors(with_shifted(variant_texts(), ("safe", "fraud"))))
    more = tree_of(evaluate_monitors(with_shifted(variant_texts(), ("safe", "fraud", "arson"))))
    assert some["concept"]["knn"].keys() == more["concept"]["knn"].keys()
    assert more["harm"]["logistic"]["shifted"]["tpr"]["value"] > 0.9
    whole = with_shifted(variant_texts(), ("safe", "fraud", "arson"))
    assert len(whole.held_out("concept", "knn")["shifted"]) == 10
    assert len(whole.held_out("harm", "knn")["shifted"]) == 15
    strange = with_shifted(variant_texts(), ("arson",))
    assert "shifted" not in strange.held_out("concept", "knn")
    assert "shifted" in strange.held_out("harm", "knn")


def test_texts_of_one_prompt_are_drawn_together() -> None:
    """Every held-out text twice is no more evidence than once; under prompts of its own it is."""
    whole = variant_texts(gap=1.0)
    stored = whole.stored
    again = [i for i in range(len(stored.ids)) if stored.splits[i] in ("test", "novel")]
    texts_kept = [*range(len(stored.ids)), *again]
    twice = dataclasses.replace(
        stored,
        values=stored.values[:, :, texts_kept],
        ids=stored.ids + tuple(f"{stored.ids[i]}-again" for i in again),
        concepts=tuple(stored.concepts[i] for i in texts_kept),
        splits=tuple(stored.splits[i] for i in texts_kept),
    )
    copies = {f"{stored.ids[i]}-again": whole.prompts[stored.ids[i]] for i in again}
    said = whole.pooled[POOLED] | {f"{stored.ids[i]}-again": whole.pooled[POOLED][stored.ids[i]]
                                   for i in again}  # fmt: skip
    together = dataclasses.replace(
        whole, stored=twice, prompts={**whole.prompts, **copies}, pooled={POOLED: said}
    )
    apart = dataclasses.replace(together, prompts={n: n for n in (*twice.ids, *whole.requests)})
    one, two, wrong = (tree_of(evaluate_monitors(m))["harm"] for m in (whole, together, apart))
    for kind in one:
        for split in ("test", "novel"):
            for name, estimate in one[kind][split].items():
                assert two[kind][split][name] == pytest.approx(estimate), (kind, split, name)

    def width(tree: Any) -> float:
        found = tree["logistic"]["test"]["accuracy"]
        return float(found["high"] - found["low"])

    assert width(wrong) < width(two)


# What is fitted


def test_prototype_is_the_nearest_mean_by_angle() -> None:
    vectors = np.array([[1.0, 0], [2, 0], [0, 1], [0, 3]])
    monitor = Prototype().fit(vectors, np.array(["x", "x", "y", "y"]))
    assert list(monitor.predict(np.array([[9.0, 0], [0.8, 5]]))) == ["x", "y"]
    probabilities = monitor.predict_proba(np.array([[9.0, 0]]))
    assert probabilities.sum() == pytest.approx(1)


def test_the_mean_difference_is_the_direction_between_means() -> None:
    vectors = np.array([[1.0, 0], [3, 0], [0, 1], [0, 3]])
    two = MeanDifferences().fit(vectors, np.array(["x", "x", "y", "y"]))
    assert two.transform(np.array([[1.0, 1], [0, 1]])).tolist() == [[0], [2]]
    labels = np.array(["x", "x", "y", "z"])
    three = MeanDifferences().fit(vectors, labels).transform(vectors)
    assert three.shape == (4, 3)
    means = [vectors[labels == c].mean(0) - vectors[labels != c].mean(0) for c in "xyz"]
    assert three == pytest.approx(vectors @ np.array(means).T)


def test_a_probe_fitted_elsewhere_is_scored_by_its_logits() -> None:
    monitor = Logit().fit(np.zeros((2, 1)), np.array(["safe", "harmful"]))
    said = monitor.predict_proba(np.array([[0.0], [np.log(3)], [-800.0]]))
    assert said[:, 0] == pytest.approx([0.5, 0.75, 0])
    assert said.sum(1) == pytest.approx([1, 1, 1])


def test_neurons_are_few_and_those_that_tell() -> None:
    """Of forty coordinates over two layers three differ between classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["harmful", "safe"], 200)
    vectors = rng.normal(size=(400, 40))
    vectors[:200, [3, 21, 35]] += 1.5
    by_penalty = {
        penalty: neurons_by_layer(fit(sparse, vectors, labels), (0, 3))
        for penalty, sparse in zip(PENALTIES, new_neurons(0), strict=True)
    }
    strongest = by_penalty[min(PENALTIES)]
    assert strongest == {"selected": 3, "selected_layer_0": 1, "selected_layer_3": 2}
    selected = [by_penalty[penalty]["selected"] for penalty in sorted(PENALTIES)]
    assert selected == sorted(selected)
    assert selected[-1] < 40


def test_validation_texts_choose_how_few_neurons(found: MonitorResults) -> None:
    whole = variant_texts(gap=1.0)
    tried = {}
    for sparse in new_neurons(0):
        fitted = fit_at(whole, "harm", NEURONS, sparse)
        known = whole.of("harm", NEURONS, "validation")
        said = fitted.harm(known.vectors)
        truth = known.labels == "harmful"
        tried[fitted.monitor[-1].C] = -np.log(np.where(truth, said, 1 - said)).mean()
    chosen = fit_at(whole, "harm", NEURONS, new_neurons(0)).monitor[-1].C
    assert chosen == min(tried, key=lambda penalty: tried[penalty])
    assert tree_of(found)["harm"][NEURONS]["selected"] <= 2 * WIDTH


def test_the_multilayer_probe_reads_what_no_single_layer_shows() -> None:
    """Each layer holds one half of an exclusive difference: apart only when read together."""
    stored = variant_texts().stored
    rng = np.random.default_rng(0)
    shift = rng.normal(size=len(stored.ids)) * 5
    sign = np.array([1.0 if concept == "safe" else -1.0 for concept in stored.concepts])
    stored.values[:] = rng.normal(size=stored.values.shape) * 0.1
    stored.values[0, 1, :, 0] = shift + 0.5 * sign
    stored.values[1, 1, :, 0] = shift - 0.5 * sign
    accuracy = {}
    for name, read in (
        ("both", lambda split: all_layers_at(stored, "last", split)),
        ("one", lambda split: stored.at(1, "last", split)[0]),
    ):
        labels = {split: stored.at(1, "last", split)[1] == "safe" for split in ("train", "test")}
        monitor = fit(
            new_logistic().set_params(logisticregression__C=100), read("train"), labels["train"]
        )
        accuracy[name] = monitor.score(read("test"), labels["test"])
    assert accuracy["both"] > 0.95 > 0.8 > accuracy["one"]


@pytest.mark.parametrize("concepts", [CONCEPTS, CONCEPTS[:2]])
def test_the_linear_map_is_the_logistic_monitor(concepts: tuple[str, ...]) -> None:
    labels = np.repeat(concepts, 20)
    vectors = clouds(1.0, labels, 0) * np.linspace(0.1, 9, WIDTH) + 5
    monitor = fit(new_logistic(), vectors, labels)
    centre, weights, bias = linear_map(monitor)
    logits = (vectors - centre) @ weights.T + bias
    raised = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(
        raised / raised.sum(1, keepdims=True),
        monitor.predict_proba(vectors),
        atol=1e-12,
    )
    assert isinstance(monitor[1], LogisticRegression)


def test_a_seed_is_a_monitor() -> None:
    labels = np.repeat(CONCEPTS, 20)
    vectors = clouds(1.0, labels, 0)
    one, same, other = (
        fit(new_monitors(5, seed)["mlp"], vectors, labels).predict_proba(vectors)
        for seed in (0, 0, 1)
    )
    assert (one == same).all()
    assert (one != other).any()


# What is taken home


@pytest.fixture
def saved(found: MonitorResults, tmp_path: Path) -> Path:
    save_monitor(tmp_path, "mean", found.saved["mean"])
    return tmp_path / "mean.json"


def test_a_saved_monitor_comes_back_whole(found: MonitorResults, saved: Path) -> None:
    loaded, original = load_monitor(saved), found.saved["mean"]
    for name, value in vars(original).items():
        assert np.array_equal(getattr(loaded, name), value), name
    assert loaded.base["model.safetensors"] == "1f"
    assert loaded.classes == ("harmful", "safe")
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}
    assert set(before) == {"mean.json", "mean.safetensors"}
    save_monitor(saved.parent, "mean", original)
    assert before == {path.name: path.read_bytes() for path in saved.parent.iterdir()}


def test_a_saved_monitor_scores_as_the_fitted_one(found: MonitorResults) -> None:
    """Its thresholds belong to its own scores."""
    monitor, whole = found.saved["prompt_end"], variant_texts()
    wanted = ("logistic", "prompt_end", "examples_test")
    scores = {s.id: s for s in found.scores if (s.monitor, s.position, s.group) == wanted}
    texts = whole.of("harm", "logistic", "test", "prompt_end")
    logits = (texts.vectors - monitor.centre) @ monitor.weights.T + monitor.bias
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for name, own in zip(texts.ids, probabilities, strict=True):
        score = monitor.score(own)
        assert score == pytest.approx(scores[name].probabilities[0], abs=1e-5)
        assert monitor.label(own, score) == scores[name].label


@pytest.mark.parametrize("gap", [1.0, 8.0, 60.0])
def test_a_saved_monitor_raises_the_same_alarms(gap: float, tmp_path: Path) -> None:
    """Loaded again and watching a model it decides as the stage did: where scores are all but 0 or
    1, and of states far from the origin, of which single precision would lose the small part."""
    whole = variant_texts(gap=gap)
    for values in (whole.stored.values, *whole.streams.states.values()):
        values += 1000
    found = evaluate_monitors(whole)
    for position in ("prompt_end", "mean"):
        save_monitor(tmp_path, position, found.saved[position])
        loaded = load_monitor(tmp_path / f"{position}.json")
        assert loaded.threshold == found.saved[position].threshold
        assert loaded.weights.dtype == np.float64
    loaded = load_monitor(tmp_path / "prompt_end.json")
    assert loaded.threshold == found.thresholds["shift", "logistic"].best
    examples = whole.held_out("harm", "logistic", "prompt_end")
    groups = {f"examples_{split}": texts for split, texts in examples.items()}
    wanted = ("harm", "logistic", "prompt_end")
    said = {
        (score.group, score.id): (score.label, score.probabilities[0])
        for score in found.scores
        if (score.question, score.monitor, score.position) == wanted
    }
    for group, texts in {**groups, **dict(whole.asked())}.items():
        live = LiveMonitor(loaded, torch.device("cpu"))
        live.read(torch.from_numpy(texts.vectors).float()[:, None], None, before=0)
        for name, judgement in zip(texts.ids, live.latest(), strict=True):
            label, harm = said[group, name]
            assert (judgement.label, judgement.alarm) == (label, label == "harmful")
            assert judgement.score == pytest.approx(harm, rel=1e-9, abs=0)


def test_the_label_stands_on_the_thresholds_side() -> None:
    three = dataclasses.replace(
        evaluate_monitors(variant_texts(safe=())).saved["last"], harmless=("safe",), threshold=0.3
    )
    probabilities = np.array([0.25, 0.55, 0.2])
    assert three.score(probabilities) == pytest.approx(0.45)
    assert three.label(probabilities, 0.45) == "fraud"
    assert three.label(probabilities, 0.2) == "safe"
    unsafe = dataclasses.replace(three, harmless=(), threshold=None)
    assert unsafe.score(probabilities) == pytest.approx(0.55)
    assert unsafe.label(probabilities, 0.55) == "safe"


def damage_json(path: Path) -> None:
    path.write_text("{", encoding="utf-8")


def drop_key(path: Path) -> None:
    path.write_text('{"kind": "logistic"}', encoding="utf-8")


def damage_tensors(path: Path) -> None:
    path.with_suffix(".safetensors").write_bytes(b"no tensors")


def lose_tensors(path: Path) -> None:
    path.with_suffix(".safetensors").unlink()


def another_shape(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('"harmful",', '"harmful", "third",')
    path.write_text(text, encoding="utf-8")


def nothing_harmless(path: Path) -> None:
    tree = read_json(path) | {"harmless": []}
    path.write_text(json.dumps(tree), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "mean.json is missing"),
        (lose_tensors, "mean.safetensors is missing"),
        (damage_json, "is damaged"),
        (drop_key, "is damaged"),
        (damage_tensors, "is damaged"),
        (another_shape, "weights is of shape"),
        (nothing_harmless, "a threshold needs harmless classes and harmful ones"),
    ],
)
def test_a_spoilt_monitor_gets_one_line(saved: Path, spoil: Any, message: str) -> None:
    spoil(saved)
    with pytest.raises(InputError, match=message) as refused:
        load_monitor(saved)
    assert "\n" not in str(refused.value)


def test_streams_come_back_whole(tmp_path: Path) -> None:
    streams = variant_texts().streams
    save_streams(tmp_path / "streams", streams)
    loaded = load_streams(tmp_path / "streams")
    for name in ("layer", "ids", "samples", "lengths"):
        assert getattr(loaded, name) == getattr(streams, name)
    for index in range(len(streams.ids)):
        (own,), (same,) = streams.at("mean", [index]), loaded.at("mean", [index])
        assert own.shape == (streams.lengths[index], WIDTH)
        assert (own == same).all()
