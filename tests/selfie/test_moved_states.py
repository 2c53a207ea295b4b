"""The causal test: states move where they should and as far, and a reader of states follows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.core.representations import Representations
from pipeline.selfie import moved_states
from pipeline.selfie.interpret import VectorInterpretation
from pipeline.selfie.moved_states import directions_of, interpret_moved, targets_of

CENTRES = {"a": (0.0, 0, 8), "b": (4.0, 0, 8), "c": (0.0, 4, 8)}


def stored(train: Sequence[str] = ("a", "b", "c")) -> Representations:
    """Two training texts a concept, one to each side of its centre, and a test text at it."""
    rows = [(c, "train", side) for c in train for side in (-0.5, 0.5)]
    rows += [(c, "test", 0.0) for c in CENTRES]
    values = np.array([[CENTRES[c][0], CENTRES[c][1], CENTRES[c][2] + side] for c, _, side in rows])
    return Representations(
        values[None, None].astype(np.float32), (1,), ("last",),
        tuple(f"{c}-{split}-{side}" for c, split, side in rows),
        tuple(c for c, *_ in rows), tuple(split for _, split, _ in rows),
    )  # fmt: skip


def held_out() -> list[Example]:
    return [Example(f"{c}-test-0.0", c, "", "", c, "test", "made") for c in CENTRES]


def nearest_centre(
    _: object, __: object, states: torch.Tensor, *___: object
) -> list[VectorInterpretation]:
    """A reader that says the concept whose centre is nearest: what it says hangs on the state
    alone."""
    centres = torch.tensor([*CENTRES.values()])
    nearest = torch.cdist(states, centres).argmin(1).tolist()
    return [VectorInterpretation([*CENTRES][index], (), ()) for index in nearest]


def moved(params: Params, reader: Any, monkeypatch: pytest.MonkeyPatch, **stored_of: Any) -> Any:
    monkeypatch.setattr(moved_states, "interpret_states", reader)
    selfie = params.selfie.model_copy(update={"moves": (25, 100)})
    anyone: Any = None
    return interpret_moved(
        anyone, anyone, stored(**stored_of), held_out(), params.asking, selfie, seed=0
    )


def test_a_reader_of_states_follows_them(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worked example: a quarter of the way changes nothing, the whole way all."""
    said = {
        (r.example[0], r.direction, r.per_cent): (r.text, r.target)
        for r in moved(params, nearest_centre, monkeypatch)
    }
    assert len(said) == 3 * 2 * 3
    for concept in CENTRES:
        for direction in ("concept", "random"):
            assert said[concept, direction, 0][0] == concept, "0 per cent is the state itself"
        assert said[concept, "concept", 25][0] == concept
        text, target = said[concept, "concept", 100]
        assert text == target != concept


def test_a_reader_that_guesses_does_not_follow(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the same words, whatever the state."""

    def deaf(_: object, __: object, states: torch.Tensor, *___: object) -> Any:
        return [VectorInterpretation("a", (), ())] * len(states)

    assert {r.text for r in moved(params, deaf, monkeypatch)} == {"a"}


def test_the_way_is_between_mean_training_states_and_the_control_is_as_long() -> None:
    examples, targets = held_out(), ["b", "c", "a"]
    ways = directions_of(stored(), examples, targets, 1, "last", 0)
    np.testing.assert_allclose(ways["concept"], [[4, 0, 0], [-4, 4, 0], [0, -4, 0]])
    lengths = {name: np.linalg.norm(way, axis=1) for name, way in ways.items()}
    np.testing.assert_allclose(lengths["random"], lengths["concept"], rtol=1e-6)
    cosines = (ways["random"] * ways["concept"]).sum(1) / lengths["concept"] ** 2
    assert (np.abs(cosines) < 0.999).all()
    again = directions_of(stored(), examples, targets, 1, "last", 0)
    np.testing.assert_array_equal(again["random"], ways["random"])
    other = directions_of(stored(), examples, targets, 1, "last", 1)
    assert not np.allclose(other["random"], ways["random"])


def test_only_concepts_with_training_texts_have_a_direction(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = moved(params, nearest_centre, monkeypatch, train=("a", "b"))
    assert {r.concept for r in two} == {r.target for r in two} == {"a", "b"}
    assert moved(params, nearest_centre, monkeypatch, train=("a",)) == []


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.integers(1, 4))
def test_targets_are_other_concepts_in_turn(concepts: list[str], count: int) -> None:
    known = ["a", "b", "c", "d"][:count]
    own = [concept for concept in concepts if concept in known]
    targets = targets_of(own, known)
    if count == 1:
        assert targets == []
        return
    assert len(targets) == len(own)
    assert all(target in known and target != o for target, o in zip(targets, own, strict=True))
    for concept in known:
        turns = [t for t, o in zip(targets, own, strict=True) if o == concept]
        counts = [turns.count(name) for name in known if name != concept]
        assert max(counts) - min(counts) <= 1
