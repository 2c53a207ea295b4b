"""The finetune trains what its variant says, from the seed alone, and moves nothing at 0 steps."""

import contextlib
import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from pipeline import losses
from pipeline.console import InputError
from pipeline.finetuning import Step, TrainingStep, encode_view, finetune, write_curve
from pipeline.hooks import injection
from pipeline.models import Encoder, with_lora
from pipeline.pairs import draw_pairs
from pipeline.params import Finetune, Params, Variant
from pipeline.records import Document, Example

Curve = list[Step]


@pytest.fixture
def train(params: Params, encoder: Encoder, examples: list[Example], documents: list[Document]):
    pairs = draw_pairs(examples, "given", "balanced", params.pairs, seed=0)

    def run(
        model: PreTrainedModel,
        seed: int = 0,
        finetuning: Finetune | None = None,
        repeated: int = 0,
        **row: object,
    ):
        variant = params.variants["sft_supcon"].model_copy(update=row)
        return finetune(
            model, encoder, {e.id: e for e in examples},
            pairs[: params.finetune.pairs_per_step] * repeated or pairs, documents,
            finetuning or params.finetune, variant, params.asking, seed,
        )  # fmt: skip

    return run


def trained(adapted: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: w.detach().clone() for name, w in adapted.named_parameters() if w.requires_grad}


def test_same_seed_same_numbers_other_seed_others(
    params: Params,
    encoder: Encoder,
    train,
    model: PreTrainedModel,
) -> None:
    def fresh() -> PreTrainedModel:
        copied = type(model)(model.config)
        copied.load_state_dict(model.state_dict())
        return copied.eval()

    (one, curve), (two, again), (other, _) = (train(fresh(), seed) for seed in (0, 0, 1))
    assert curve == again
    for name, weight in trained(one).items():
        assert torch.equal(weight, trained(two)[name])
    assert any(not torch.equal(w, trained(other)[name]) for name, w in trained(one).items())


def test_base_is_untouched(train, model: PreTrainedModel, encoder: Encoder) -> None:
    ids = torch.tensor([encoder("Explain rain.", "It falls.").ids])
    with torch.no_grad():
        before = model(ids).logits
        adapted, curve = train(
            model, steps=0, contrast="none", contrast_weight=0.0, retain_weight=0.0,
            penalty_weight=0.0, response_weight=0.0,
        )  # fmt: skip
        assert curve == []
        assert torch.equal(adapted(ids).logits, before)


def test_frozen_weights_stay_frozen(train, model: PreTrainedModel) -> None:
    before = {name: w.clone() for name, w in model.named_parameters()}
    adapted, _ = train(model)
    for name, weight in adapted.named_parameters():
        original = name.removeprefix("base_model.model.").replace(".base_layer", "")
        if original in before:
            assert torch.equal(weight, before[original])


def test_contrast_falls_when_nothing_holds_it(
    train, model: PreTrainedModel, params: Params
) -> None:
    eager = params.finetune.model_copy(update={"learning_rate": 0.01})
    _, curve = train(
        model, finetuning=eager, repeated=30, steps=30, retain_weight=0.0, penalty_weight=0.0,
        response_weight=0.0,
    )  # fmt: skip
    assert curve[-1].contrast < 0.8 * curve[0].contrast
    assert all(step.retain == step.penalty == step.response == 0 for step in curve)


def test_terms_are_zero_before_the_first_step(train, model: PreTrainedModel) -> None:
    """A fresh adapter has not moved: retain and KL start at 0, the contrast does not."""
    _, curve = train(model)
    assert curve[0].retain == pytest.approx(0, abs=1e-6)
    assert curve[0].penalty == pytest.approx(0, abs=1e-6)
    assert curve[0].contrast > 0.5
    assert curve[0].response > 1
    assert curve[-1].retain > 0


def test_unused_terms_cost_nothing(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    variant = params.variants["sft_supcon"].model_copy(
        update={"contrast_weight": 0.0, "retain_weight": 0.0, "penalty_weight": 0.0}
    )
    step = TrainingStep(
        with_lora(model, params.finetune), encoder, params.finetune, variant, params.asking
    )
    texts = [encoder(e.prompt, e.response) for e in examples[:4]]
    terms = step(texts, torch.tensor([0, 1]), texts[:2], texts[:2])
    assert [name for name, term in terms.items() if term.requires_grad] == ["response"]


def moved_step(
    params: Params, encoder: Encoder, model: PreTrainedModel, **update: object
) -> TrainingStep:
    """A step whose adapter has moved: LoRA's second factor is not 0."""
    adapted = with_lora(model, params.finetune)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    finetuning = params.finetune.model_copy(update=update)
    variant = params.variants["sft_supcon"]
    return TrainingStep(adapted, encoder, finetuning, variant, params.asking)


@torch.no_grad()
def test_drift_equals_texts_one_by_one(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The oracle: every text alone, without padding, by hand."""
    step = moved_step(params, encoder, model)
    texts = [encoder(e.prompt, e.response) for e in examples[:6]]
    batch = encoder.batch(texts)
    tuned, frozen = step.readings(batch)
    moved, divergence = step.retain(batch, tuned, frozen), step.divergence(batch, tuned, frozen)
    distances, divergences = [], []
    for text in texts:
        ids = torch.tensor([text.ids])
        one = step.adapted(ids, output_hidden_states=True)
        with step.adapted.disable_adapter():
            other = step.adapted(ids, output_hidden_states=True)
        pairs = zip(one.hidden_states[1:], other.hidden_states[1:], strict=True)
        distances.append(
            torch.stack([((a - b).norm(dim=-1) / b.norm(dim=-1))[0] for a, b in pairs])
        )
        divergences.append(losses.token_kl(one.logits[0], other.logits[0]))
    assert float(moved) == pytest.approx(float(torch.cat(distances, 1).mean()), rel=1e-4)
    assert float(divergence) == pytest.approx(float(torch.cat(divergences).mean()), rel=1e-4)


@torch.no_grad()
def test_the_published_penalty_counts_real_tokens(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    step = moved_step(params, encoder, model, penalty="weighted_nll")
    texts = [encoder(e.prompt, e.response) for e in examples[:3]]
    batch = encoder.batch(texts)
    penalty = step.divergence(batch, *step.readings(batch))
    expected = 0.0
    for text in texts:
        ids = torch.tensor([text.ids])
        tuned = step.adapted(ids).logits[0, :-1].log_softmax(-1)
        with step.adapted.disable_adapter():
            frozen = step.adapted(ids).logits[0, :-1].softmax(-1)
        chosen = torch.tensor(text.ids[1:])[:, None]
        expected -= float((frozen.gather(1, chosen) * tuned.gather(1, chosen)).sum())
    assert float(penalty) == pytest.approx(expected / len(texts), rel=1e-4)


@torch.no_grad()
def test_response_counts_answers_only(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    step = moved_step(params, encoder, model)
    texts = [encoder(e.prompt, e.safe_response) for e in examples[:4]]
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([text.ids])
        odds = step.adapted(ids).logits[0, :-1].log_softmax(-1)
        chosen = odds.gather(1, ids[0, 1:, None])[text.prompt_end :]
        total, count = total - float(chosen.sum()), count + len(chosen)
    assert float(step.response(encoder.batch(texts))) == pytest.approx(total / count, rel=1e-4)


def test_misreading_moves_readers_not_states(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The interpretation term must not gather states by itself: what it reads is detached."""
    step = moved_step(params, encoder, model)
    batch = encoder.batch([encoder(e.prompt, e.response) for e in examples[:4]])
    tuned, frozen = step.readings(batch)
    states = tuned.states[params.asking.layer]
    term = step.misreading(batch, tuned, frozen)
    assert float(term.detach()) > 0
    (to_states,) = torch.autograd.grad(term, states, allow_unused=True, retain_graph=True)
    assert to_states is None
    weights = [w for w in step.adapted.parameters() if w.requires_grad]
    to_weights = torch.autograd.grad(term, weights, allow_unused=True)
    assert any(gradient is not None and gradient.any() for gradient in to_weights)


@torch.no_grad()
def test_misreading_is_the_kl_of_two_readers(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The oracle: one text and position at a time, by the published way of injecting."""
    step = moved_step(params, encoder, model)
    texts = [encoder(e.prompt, e.response) for e in examples[:3]]
    batch = encoder.batch(texts)
    tuned, frozen = step.readings(batch)
    opening = encoder.contents(params.asking.answer.partition("{concept}")[0].rstrip())
    prompt = encoder.placeholder_prompt(params.asking.question, params.asking.placeholders)
    ids = torch.tensor([[*prompt, *opening]])
    found = []
    for row in range(len(texts)):
        for position in params.asking.positions:
            odds = []
            for reading, reader in (
                (tuned, contextlib.nullcontext()),
                (frozen, step.adapted.disable_adapter()),
            ):
                vector = batch.at(reading.states[params.asking.layer], position)[row : row + 1]
                with (
                    reader,
                    injection(step.adapted, params.asking, ids == encoder.slot, vector),
                ):
                    odds.append(step.adapted(ids).logits[0, len(prompt) - 1 :])
            found.append(losses.token_kl(*odds))
    expected = float(torch.cat(found).mean())
    assert float(step.misreading(batch, tuned, frozen)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("shown", "positions"), [("prompt", 1), ("response", 1), ("whole", 2)])
def test_a_part_shown_alone_is_the_whole_message(
    encoder: Encoder, examples: list[Example], shown: str, positions: int
) -> None:
    text = encode_view(encoder, examples[0], shown)
    assert len({text.prompt_end, text.last}) == positions


def test_an_unknown_part_is_refused(encoder: Encoder, examples: list[Example]) -> None:
    with pytest.raises(ValueError, match="augmentation 'middle'"):
        encode_view(encoder, examples[0], "middle")


def test_divergence_stops_with_one_line(train, model: PreTrainedModel) -> None:
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"not finite at step 1; lower finetune\.learning_rate"):
        train(model)


def test_curve_is_a_table(tmp_path: Path) -> None:
    write_curve(tmp_path / "c.csv", [Step(1, 2.0, 0.0, 1 / 3, 0.0, 5.0)])
    head, row = (tmp_path / "c.csv").read_text(encoding="utf-8").splitlines()
    assert head == ",".join(field.name for field in dataclasses.fields(Step))
    assert row == "1,2,0,0.333333,0,5"


def test_every_contrast_that_a_variant_may_ask_for_exists() -> None:
    allowed = set(Variant.model_fields["contrast"].annotation.__args__)
    assert allowed == {*losses.CONTRASTS, "none"}
