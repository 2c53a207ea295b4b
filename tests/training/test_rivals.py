"""The rivals of a contrast: harmful answers' states leave what they were, all others stay."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import answers_harmfully
from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Document, Example, Pair
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.fused_lora import switched_off
from pipeline.models.lora import with_lora
from pipeline.training import losses
from pipeline.training.finetune_data import FinetuneData, step_texts
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective, lay_out
from pipeline.training.step import StepTexts
from pipeline.training.terms import RIVALS, used_terms
from tests.support.objectives import gap, moved_objective

HARMFUL = torch.tensor([[True, False, True], [False, False, True]])
LAYERS = (1, 2)
NEVER = Checkpoint(Path("nowhere"), key="", every=0)


def test_states_turned_back_worked_example() -> None:
    frozen = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    tuned = torch.tensor([[5.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    assert losses.turned_back(tuned, frozen).tolist() == pytest.approx([1, 0, 0, 0.5**0.5])


def test_the_mean_cosine_is_of_every_two() -> None:
    states = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    assert float(losses.mean_cosine(states)) == pytest.approx(1 / 3)
    assert float(losses.mean_cosine(states[:1])) == float(losses.mean_cosine(states[:0])) == 1


def both_models(objective: Objective, text: Encoded) -> tuple[list[Tensor], list[Tensor]]:
    """A text's states at LAYERS by the tuned and by the frozen model, by the model's own forward
    pass."""
    ids = torch.tensor([text.ids])
    tuned = objective.adapted(ids, output_hidden_states=True).hidden_states
    with switched_off(objective.adapted), torch.no_grad():
        frozen = objective.adapted(ids, output_hidden_states=True).hidden_states
    return [tuned[layer][0] for layer in LAYERS], [frozen[layer][0] for layer in LAYERS]


@pytest.mark.parametrize("name", sorted(RIVALS))
def test_rivals_equal_texts_one_by_one(
    name: str, params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """Value and gradient; a view is a text and what it stands for in HARMFUL."""
    objective = moved_objective(params, encoder, model, target_layers=LAYERS)
    texts = [encoder(e.prompt, e.response) for e in examples[:6]]
    views = StepTexts(texts[:3], texts[3:], torch.arange(3), retained=texts[:2], harmful=HARMFUL)
    layout = lay_out(views, [RIVALS[name]])
    read = objective.read(layout, views.labels, harmful=HARMFUL, progress=0.5)
    found = RIVALS[name].value(read)
    turned, moved = [], {True: [], False: []}
    ends: list[list[Tensor]] = [[], []]
    for text, harmful in zip(texts, HARMFUL.flatten().tolist(), strict=True):
        tuned, frozen = both_models(objective, text)
        distance = torch.stack(
            [(t - f).norm(dim=-1) / f.norm(dim=-1) for t, f in zip(tuned, frozen, strict=True)]
        )
        moved[harmful].append(distance)
        if harmful:
            rounded = [states.bfloat16().float() for states in frozen]
            cosines = [torch.cosine_similarity(t, f) for t, f in zip(tuned, rounded, strict=True)]
            turned.append(torch.stack(cosines).clamp(min=0))
            for at_layer, states in zip(ends, tuned, strict=True):
                at_layer.append(states[text.prompt_end])
    kept, left = (torch.cat(moved[kind], 1).mean() for kind in (False, True))
    alike = []
    for at_layer in ends:
        of_two = [(0, 1), (0, 2), (1, 2)]
        alike += [torch.cosine_similarity(at_layer[i], at_layer[j], dim=0) for i, j in of_two]
    expected = {
        "rerouting": 0.75 * torch.cat(turned, 1).mean() + 0.25 * kept,
        "bending": (kept - left) / 2 + (1 - torch.stack(alike).mean()) / 10,
    }[name]
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]
    assert gap(found, expected, weights) < 1e-3


@pytest.mark.parametrize("name", sorted(RIVALS))
def test_without_a_harmful_text_a_rival_only_keeps(
    name: str, params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """With half its weight; rerouting at the end of the finetune."""
    objective = moved_objective(params, encoder, model, target_layers=LAYERS)
    texts = [encoder(e.prompt, e.response) for e in examples[:4]]
    none = torch.zeros(2, 2, dtype=torch.bool)
    views = StepTexts(texts[:2], texts[2:], torch.arange(2), harmful=none)
    read = objective.read(lay_out(views, [RIVALS[name]]), views.labels, harmful=none, progress=1.0)
    distances = []
    for text in texts:
        tuned, frozen = both_models(objective, text)
        distances += [
            (t - f).norm(dim=-1) / f.norm(dim=-1) for t, f in zip(tuned, frozen, strict=True)
        ]
    kept = float(torch.cat(distances).mean().detach())
    assert float(RIVALS[name].value(read).detach()) == pytest.approx(kept / 2, rel=1e-4)


def test_rerouting_keeps_nothing_at_first_and_leaves_where_both_models_are_one(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The adapter does nothing yet: the cosine is 1, and by the rounding alone has a gradient."""
    knobs = params.finetune.model_copy(update={"target_layers": LAYERS})
    variant = params.variants["sft_contrast"].model_copy(update={"contrast": "rerouting"})
    objective = Objective(with_lora(model, knobs), encoder, knobs, variant, params.asking)
    texts = [encoder(e.prompt, e.response) for e in examples[:6]]
    views = StepTexts(texts[:3], texts[3:], torch.arange(3), harmful=HARMFUL)
    layout = lay_out(views, [RIVALS["rerouting"]])
    at_first, at_last = (
        RIVALS["rerouting"].value(
            objective.read(layout, views.labels, harmful=HARMFUL, progress=progress)
        )
        for progress in (0.0, 1.0)
    )
    assert float(at_first.detach()) == pytest.approx(1, abs=1e-4)
    assert float(at_last.detach()) == pytest.approx(0.5, abs=1e-4)
    at_first.backward()
    gradients = [w.grad for w in objective.adapted.parameters() if w.grad is not None]
    assert max(float(gradient.abs().max()) for gradient in gradients) > 1e-6


@pytest.mark.parametrize("name", sorted(RIVALS))
def test_a_rival_takes_the_contrasts_weight_and_no_other_term(name: str, params: Params) -> None:
    variant = params.variants["sft_contrast"].model_copy(update={"contrast": name})
    used = used_terms(variant, params.finetune)
    assert used["contrast"] is RIVALS[name]
    assert not RIVALS[name].of_views
    other = used_terms(params.variants["sft_contrast"], params.finetune)
    assert {*used} == {*other}


def said(number: int, concept: str, response: str, safe_response: str) -> Example:
    prompt = f"Tell me about thing {number}."
    return Example(f"e{number}", prompt, response, safe_response, concept, "train", "test")


MADE = [
    said(0, "fraud", "Sure, like this.", "No."),
    said(1, "fraud", "No.", "No."),
    said(2, "safe", "Gladly, like so.", "Gladly, like so."),
    said(3, "safe", "No.", "Gladly."),
    said(4, "fraud", "", "No."),
]


def test_a_harmful_answer_is_one_that_a_careful_model_would_not_give() -> None:
    """Neither a refusal, nor a needless one, nor a prompt alone; nothing where nothing is safe."""
    assert [answers_harmfully(e, ["safe"]) for e in MADE] == [True, False, False, False, False]
    assert not any(answers_harmfully(e, []) for e in MADE)


def test_a_step_knows_which_views_show_a_harmful_answer(params: Params, encoder: Encoder) -> None:
    pairs = [
        Pair("e0", "e1", "fraud", "whole"), Pair("e1", "e0", "fraud", "response"),
        Pair("e0", "e0", "fraud", "prompt"), Pair("e2", "e3", "safe", "whole"),
    ]  # fmt: skip
    data = FinetuneData({e.id: e for e in MADE}, pairs, [Document("d", "A", "B", "pretrain")] * 3,
                        ["safe"])  # fmt: skip
    four = params.finetune.model_copy(update={"pairs_per_step": 4})
    harmful = step_texts(encoder, data, four, seed=0, step=1).harmful
    assert harmful.tolist() == [[True, False, False, False], [False, True, False, False]]
    unnamed = dataclasses.replace(data, safe=())
    assert not step_texts(encoder, unnamed, four, seed=0, step=1).harmful.any()


@pytest.mark.parametrize("name", sorted(RIVALS))
def test_a_rival_parts_harmful_answers_from_what_they_were_and_keeps_the_rest(
    name: str, params: Params, encoder: Encoder, examples: list[Example],
    documents: list[Document], model: PreTrainedModel,
) -> None:  # fmt: skip
    """By its own term alone, from an adapter that does nothing yet."""
    harmful = [said(n, "fraud", f"Sure, take {n} of them.", "No.") for n in range(8)]
    kept = [dataclasses.replace(e, id=f"k{n}") for n, e in enumerate(examples[:8])]
    kept = [dataclasses.replace(e, response=e.safe_response, concept="safe") for e in kept]
    pairs = [
        Pair(view[n].id, view[(n + 1) % 8].id, view[n].concept, "whole")
        for n in range(8)
        for view in (harmful, kept)
    ] * 8  # fmt: skip
    watched = [dataclasses.replace(e, split="validation") for e in (*harmful[:2], *kept[:2])]
    of_all = {e.id: e for e in (*harmful, *kept)} | {f"w{e.id}": e for e in watched}
    knobs = params.finetune.model_copy(
        update={"pairs_per_step": 16, "learning_rate": 1e-2, "lora_dropout": 0.05}
    )
    variant = params.variants["sft_contrast"].model_copy(
        update={"contrast": name, "steps": 8, "response_weight": 0.0, "retain_weight": 0.0,
                "penalty_weight": 0.0}
    )  # fmt: skip
    torch.manual_seed(0)
    objective = Objective(with_lora(model, knobs), encoder, knobs, variant, params.asking)
    finetune(objective, FinetuneData(of_all, pairs, documents, ["safe"]), knobs, 0, NEVER)
    objective.use_dropout(False)
    left, stayed = (
        torch.cat([moved_share(objective, encoder(e.prompt, e.response)) for e in own]).mean()
        for own in (harmful, kept)
    )
    assert left > 2 * stayed


@torch.no_grad()
def moved_share(objective: Objective, text: Encoded) -> Tensor:
    """How far a text's states at the first of LAYERS moved, as a share of their length."""
    (tuned, *_), (frozen, *_) = both_models(objective, text)
    return (tuned - frozen).norm(dim=-1) / frozen.norm(dim=-1)


def test_a_rival_needs_harmful_answers(
    params: Params, encoder: Encoder, examples: list[Example], documents: list[Document],
    model: PreTrainedModel,
) -> None:  # fmt: skip
    variant = params.variants["sft_contrast"].model_copy(update={"contrast": "rerouting"})
    adapted = with_lora(model, params.finetune)
    objective = Objective(adapted, encoder, params.finetune, variant, params.asking)
    data = FinetuneData({e.id: e for e in examples}, [], documents)
    with pytest.raises(InputError, match="rerouting moves texts with a harmful answer"):
        finetune(objective, data, params.finetune, 0, NEVER)
