"""What multiple-choice questions show, by hand and beside a guess."""

import numpy as np
import pytest

from pipeline.core.records import Choice, TaskScore
from pipeline.evaluation.capability import CHANCE, capability, harness_means


def options(name: str, nlls: list[float], right: int = 0, sizes: list[int] | None = None,
            task: str = "t") -> list[Choice]:  # fmt: skip
    bytes_of = sizes or [4] * len(nlls)
    return [Choice(name, task, n, n == right, nll, bytes_of[n]) for n, nll in enumerate(nlls)]


def values(choices: list[Choice]) -> dict[str, float]:
    return {"/".join(path): own.value for path, own in capability(choices, 20, 0).items()}


def test_by_hand() -> None:
    made = [
        *options("right", [1.0, 3.0]),
        *options("wrong", [3.0, 2.0]),
        *options("long", [6.0, 4.0], sizes=[12, 4]),
        *options("alone", [1.0, 2.0, 3.0, 4.0], task="other"),
    ]
    assert values(made) == {
        "t/accuracy": pytest.approx(1 / 3), "t/accuracy_by_length": pytest.approx(2 / 3),
        "t/margin": pytest.approx((2 - 1 - 2) / 3), "t/chance": 0.5,
        "other/accuracy": 1, "other/accuracy_by_length": 1, "other/margin": 1, "other/chance": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize("right", range(3))
def test_of_equally_likely_options_one_is_guessed(right: int) -> None:
    """Wherever the right one stands: a model that tells nothing apart is no better than chance."""
    found = values(options("q", [2.0, 2.0, 2.0], right))
    assert found["t/accuracy"] == pytest.approx(found[f"t/{CHANCE}"]) == pytest.approx(1 / 3)
    assert found["t/margin"] == 0


def test_two_models_on_the_same_questions_are_paired() -> None:
    """A model does not differ from itself, however wide its own interval is."""
    rng = np.random.default_rng(0)
    made = [c for n in range(40) for c in options(str(n), list(rng.normal(5, 1, 4)))]
    one, other = capability(made, 50, 0), capability(made, 50, 0)
    difference = one["t", "accuracy"] - other["t", "accuracy"]
    assert (difference.values == 0).all()
    low, high = one["t", "accuracy"].interval()
    assert low < 0.25 < high, "random likelihoods show nothing"
    assert high - low > 0.1


def test_chance_has_no_interval_and_nothing_gives_nothing() -> None:
    found = capability(options("q", [1.0, 2.0]), 20, 0)["t", CHANCE]
    assert found.estimate().as_tree() == {"value": 0.5}
    assert capability([], 20, 0) == {}


def test_tasks_of_the_harness_are_means_of_their_documents() -> None:
    scores = [
        TaskScore(task, str(n), metric, float(n < most))
        for task, metric, most in (("mmlu", "acc", 3), ("mmlu", "acc_norm", 2), ("arc", "acc", 4))
        for n in range(4)
    ]
    found = harness_means(scores, 20, 0)
    assert {path: own.value for path, own in found.items()} == {
        ("harness", "mmlu", "acc"): 0.75, ("harness", "mmlu", "acc_norm"): 0.5,
        ("harness", "arc", "acc"): 1.0,
    }  # fmt: skip
    low, high = found["harness", "mmlu", "acc"].interval()
    assert low < 0.75 <= high
    assert harness_means([], 20, 0) == {}
