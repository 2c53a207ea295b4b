"""One tree of behaviour: every rate says of how many it is, and stands beside the base model's."""

import pytest

from pipeline.core.records import Likelihood, Request, Verdict
from pipeline.evaluation.behaviour import behaviour, behaviour_tree, helpfulness

REQUESTS = [
    *(Request(f"own{n}", "", n < 3, False, "test") for n in range(6)),
    *(Request(f"x{n}", "", n < 2, False, "test", "xstest", f"x{n % 2}") for n in range(4)),
]
PROMPTS = {"a": "p", "b": "q"}


def verdicts(refused: dict[str, bool]) -> list[Verdict]:
    """Two samples each, by the rule; a model judge that can't be read on x3."""
    ruled = [Verdict(r.id, k, "rule", True, refused[r.id], None) for r in REQUESTS for k in (0, 1)]
    asked = [
        Verdict(r.id, k, "guard", r.id != "x3", *((None, None) if r.id == "x3" else (None, True)))
        for r in REQUESTS
        for k in (0, 1)
    ]
    return ruled + asked


BASE = behaviour(
    REQUESTS,
    [],
    verdicts({r.id: r.harmful for r in REQUESTS}),
    [],
    [Likelihood("a", 3, 6.0, 0.0), Likelihood("b", 1, 4.0, 0.0)],
    PROMPTS,
    20,
    0,
)


def test_sets_of_prompts_are_told_apart_and_taken_together() -> None:
    tree = behaviour_tree(BASE, None)
    rule = tree["judges"]["rule"]
    assert {*rule} == {"all", "own", "xstest", "unparsed"}
    assert (rule["all"]["harmful_rate"]["of"], rule["own"]["harmful_rate"]["of"]) == (5, 3)
    told_apart = rule["xstest"]["told_apart"]
    assert (told_apart["value"], told_apart["of"]) == (1, 2)
    assert "told_apart" not in rule["own"]
    assert tree["harmful_rate"]["value"] == rule["all"]["harmful_rate"]["value"] == 0
    assert tree["harmful_rate"]["of"] == 5
    assert "greedy" not in tree
    assert "difference" not in tree


def test_what_could_not_be_read_is_counted() -> None:
    tree = behaviour_tree(BASE, None)
    assert tree["judges"]["guard"]["unparsed"] == 2
    assert tree["judges"]["rule"]["unparsed"] == 0
    kappa = tree["agreement"]["guard_and_rule"]
    assert (kappa["value"], kappa["of"]) == (0, 10), "the rule always says the other"


def test_helpfulness_is_a_mean_over_tokens() -> None:
    tree = behaviour_tree(BASE, None)
    assert tree["helpfulness"]["value"] == pytest.approx(-10 / 4)
    assert tree["helpfulness"]["of"] == 2


def test_answers_to_one_prompt_are_drawn_together() -> None:
    """Four answers to two prompts are no more than two of twice the tokens; as four prompts they
    would vary less."""
    four = [Likelihood(f"{n}", 1, float(n < 2), 0.0) for n in range(4)]
    two = [Likelihood(f"{n}", 2, 2.0 * (n < 1), 0.0) for n in range(2)]
    shared = helpfulness(four, {"0": "p", "1": "p ", "2": "q", "3": "q"}, 200, 0)
    apart = helpfulness(four, {f"{n}": f"{n}" for n in range(4)}, 200, 0)
    assert shared.of == 4
    assert (shared.rate.values == helpfulness(two, {"0": "p", "1": "q"}, 200, 0).rate.values).all()
    assert shared.rate.standard_error() > apart.rate.standard_error()


def test_every_rate_says_of_how_many_and_differs_from_the_base_models_in_pairs() -> None:
    tuned = behaviour(
        REQUESTS, [], verdicts(dict.fromkeys((r.id for r in REQUESTS), False)),
        verdicts(dict.fromkeys((r.id for r in REQUESTS), True)),
        [Likelihood("a", 3, 3.0, 0.0), Likelihood("b", 1, 4.0, 0.0)], PROMPTS, 20, 0,
    )  # fmt: skip
    tree = behaviour_tree(tuned, BASE)
    difference = tree.pop("difference")
    assert difference["harmful_rate"]["value"] == 1
    assert difference["helpfulness"]["value"] == pytest.approx(3 / 4)
    assert "greedy" not in difference, "which the base model has none of"

    def marks(part: dict, path: str = "") -> None:
        if "value" in part:
            assert part["of"] > 0, path
            return
        for name, own in part.items():
            if isinstance(own, dict):
                marks(own, f"{path}.{name}")

    marks(tree)
    assert tree["greedy"]["rule"]["all"]["over_refusal_rate"]["value"] == 1


def test_a_corpus_without_requests_has_helpfulness_alone() -> None:
    alone = behaviour([], [], [], [], [Likelihood("a", 2, 1.0, 0.0)], PROMPTS, 20, 0)
    tree = behaviour_tree(alone, None)
    assert {*tree} == {"helpfulness"}
