"""Controls and baselines of interpretations are what their names say."""

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import spoken
from pipeline.core.params import Params
from pipeline.core.records import BASELINES, CONTROLS, Example
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import normed
from pipeline.selfie.controls import (
    INJECTED_CONTROLS,
    control_vectors,
    example_states,
    interpret_examples,
    interpret_tokens,
    interpret_words,
    logit_lens,
)
from pipeline.selfie.interpret import interpret_states
from tests.support.families import FAMILIES, family


def vectors(count: int, width: int = 16) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0)) + 0.5


def test_controls_are_of_the_states_norm_order_or_mean() -> None:
    states = vectors(50)
    random = control_vectors(states, "random", torch.Generator().manual_seed(0))
    other = control_vectors(states, "other", torch.Generator().manual_seed(0))
    mean = control_vectors(states, "mean", torch.Generator())
    assert torch.equal(control_vectors(states, "state", torch.Generator()), states)
    assert torch.allclose(random.norm(dim=1), states.norm(dim=1), rtol=1e-5)
    assert not torch.isclose(random, states).all(dim=1).any()
    assert not (other == states).all(dim=1).any(), "no text gets its own state"
    assert sorted(map(tuple, other.tolist())) == sorted(map(tuple, states.tolist()))
    assert torch.allclose(mean, states.mean(0).expand_as(states))
    with pytest.raises(ValueError, match="one of state, random, other, mean"):
        control_vectors(states, "loud", torch.Generator())


def test_a_single_state_has_finite_controls() -> None:
    for control in INJECTED_CONTROLS:
        found = control_vectors(vectors(1), control, torch.Generator().manual_seed(0))
        assert torch.isfinite(found).all()


def test_every_text_layer_position_and_control_is_recorded(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    chosen = [e for e in examples if e.split == "test"][:4]
    concepts = sorted({e.concept for e in examples})
    asking, selfie = params.asking, params.selfie
    records = interpret_examples(model, encoder, chosen, concepts, asking, selfie, seed=0)
    keys = {(r.example, r.layer, r.position, r.control) for r in records}
    kinds = {"state", *CONTROLS, *BASELINES}
    assert {r.layer for r in records} == {asking.layer, *selfie.layers}
    assert {r.control for r in records} == kinds
    assert len(records) == len(keys) == 4 * 3 * len(asking.positions) * len(kinds)
    assert all(-1 <= score <= 1 for r in records for score in r.relevancy)
    again = interpret_examples(model, encoder, chosen, concepts, asking, selfie, seed=0)
    assert again == records
    states = example_states(model, encoder, chosen, [2], asking.positions, 3)
    found = states[2, asking.positions[0]]
    expected = interpret_states(model, encoder, found, asking, selfie)
    said = [r for r in records if (r.layer, r.control) == (2, "state")]
    assert [(r.text, r.tokens) for r in said] == [(r.text, r.tokens) for r in expected]
    none = {(r.text, r.relevancy) for r in records if r.control == "none"}
    assert len(none) == 1


def test_the_words_baseline_asks_about_what_the_state_has_read(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[str] = []

    def seen(_: object, __: object, prompts: list, *___: object) -> list:  # type: ignore[type-arg]
        asked.extend(encoder.decode(prompt.ids) for prompt in prompts)
        return []

    monkeypatch.setattr("pipeline.selfie.controls.answer_prompts", seen)
    for position in ("prompt_end", "last"):
        interpret_words(model, encoder, examples[:1], position, params.asking, params.selfie)
    assert examples[0].prompt in asked[0]
    assert examples[0].response not in asked[0]
    assert f"{examples[0].prompt} {examples[0].response}" in asked[1]


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_normed_is_the_models_own_final_norm(name: str) -> None:
    model = family(name)
    blocks = next(c for c in model.get_decoder().children() if isinstance(c, torch.nn.ModuleList))
    given = []

    def kept(_: object, __: object, output: torch.Tensor | tuple[torch.Tensor]) -> None:
        given.append(output[0] if isinstance(output, tuple) else output)

    handle = blocks[-1].register_forward_hook(kept)
    hidden = model(torch.arange(3, 9)[None], output_hidden_states=True).hidden_states[-1][0]
    handle.remove()
    torch.testing.assert_close(normed(model, given[0][0]), hidden, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_logit_lens_names_the_concept_with_the_likeliest_first_token(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    """The oracle: a state that is a name's own embedding, the head being tied to them."""
    concepts, asking = ["privacy", "fraud", "safe"], params.asking
    opening = asking.answer.partition("{concept}")[0].rstrip()
    firsts = [
        encoder.contents(asking.answer.replace("{concept}", spoken(concept)))[
            len(encoder.contents(opening))
        ]
        for concept in concepts
    ]
    assert len(set(firsts)) == 3
    table = model.get_input_embeddings().weight[firsts]
    states = 100 * (table - table.mean(0))
    for layer in (1, params.model.embedded.layers):
        assert logit_lens(model, encoder, states, layer, concepts, asking) == concepts
    alike = logit_lens(model, encoder, states[:1], 1, ["privacy", "privacy"], asking)
    assert alike == ["privacy or privacy"], "names that begin alike cannot be distinguished"


def test_every_layer_and_token_is_interpreted_once(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    chosen = examples[:2]
    cells = interpret_tokens(model, encoder, chosen, params.asking, params.selfie)
    texts = encoder.texts([(e.prompt, e.response) for e in chosen])
    layers = range(params.model.embedded.layers + 1)
    assert [(c.layer, c.example, c.place, c.token) for c in cells] == [
        (layer, example.id, index, encoder.decode([token]))
        for layer in layers
        for example, text in zip(chosen, texts, strict=True)
        for index, token in enumerate(text.ids)
    ]
    embedding = {c.token: set() for c in cells if c.layer == 0}  # type: dict[str, set[str]]
    for cell in cells:
        if cell.layer == 0:
            embedding[cell.token].add(cell.text)
    assert all(len(said) == 1 for said in embedding.values()), "one token, one embedding"
