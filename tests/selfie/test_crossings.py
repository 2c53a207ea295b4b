"""Crossings: stored states are read as states that were just made, by whoever is asked; what names
a concept without a model answers in the model's own form."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import names_concept
from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.core.representations import Representations
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder
from pipeline.selfie.controls import example_states, interpret_examples
from pipeline.selfie.crossings import interpret_stored, named_records


def stored_states(
    model: PreTrainedModel, encoder: Encoder, examples: Sequence[Example], params: Params
) -> Representations:
    """The states of all examples, in another order than theirs."""
    layer, positions = params.asking.layer, params.asking.positions
    shuffled = [*reversed(examples)]
    found = example_states(model, encoder, shuffled, [layer], positions, 4)
    values = torch.stack([found[layer, position] for position in positions])[None].numpy()
    return Representations(
        values, (layer,), positions, tuple(e.id for e in shuffled),
        tuple(e.concept for e in shuffled), tuple(e.split for e in shuffled),
    )  # fmt: skip


def held_out(examples: list[Example]) -> list[Example]:
    return [e for e in examples if e.split == "test"][:5]


def test_a_models_own_stored_states_are_read_as_its_own(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    """The law: own on own is a crossing with itself."""
    chosen, asking = held_out(examples), params.asking
    stored = stored_states(model, encoder, examples, params)
    crossed = interpret_stored(model, encoder, stored, chosen, "base_reader", asking, params.selfie)
    own = [
        record
        for record in interpret_examples(model, encoder, chosen, ["law"], asking, params.selfie, 0)
        if (record.layer, record.control) == (asking.layer, "state")
    ]
    assert [(r.example, r.position, r.layer, r.text) for r in crossed] == [
        (r.example, r.position, r.layer, r.text) for r in own
    ]
    assert {r.control for r in crossed} == {"base_reader"}


def test_what_is_said_depends_on_reader_and_state(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    """A crossing is neither model's own reading: each of the two has a say."""
    torch.manual_seed(5)
    other = new_model(params.model.embedded, encoder.tokenizer).eval()
    chosen, args = held_out(examples), ("base_state", params.asking, params.selfie)
    states = [stored_states(m, encoder, examples, params) for m in (model, other)]
    said = {
        (reader, state): [
            (r.tokens, r.relevancy)
            for r in interpret_stored((model, other)[reader], encoder, states[state], chosen, *args)
        ]
        for reader in (0, 1)
        for state in (0, 1)
    }
    assert said[0, 0] != said[0, 1]
    assert said[0, 0] != said[1, 0]
    assert said[1, 0] != said[1, 1]


def test_a_named_concept_is_said_as_an_answer(params: Params, examples: list[Example]) -> None:
    chosen = held_out(examples)
    concepts = sorted({e.concept for e in examples})
    right = named_records(chosen, [e.concept for e in chosen], "last", "probe", params.asking)
    assert all(names_concept(record, concepts) for record in right)
    assert {record.layer for record in right} == {params.asking.layer}
    wrong = [next(c for c in concepts if c != e.concept) for e in chosen]
    found = named_records(chosen, wrong, "last", "probe", params.asking)
    assert not any(names_concept(record, concepts) for record in found)


def test_states_are_found_by_their_texts_ids() -> None:
    values = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    stored = Representations(
        values, (4,), ("last", "mean"), ("a", "b", "c"), ("x",) * 3, ("test",) * 3
    )
    assert stored.of_texts(["c", "a"], 4, "mean").tolist() == [[10, 11], [6, 7]]
    with pytest.raises(KeyError):
        stored.of_texts(["d"], 4, "mean")
