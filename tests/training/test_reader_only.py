"""A reader that is taught the labels learns to read the states it is given, which stay as they are,
and learns nothing where its labels say nothing of them. A scale and a bias do so without a change
of the reader."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import answer_about
from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.models.encoding import Encoder
from pipeline.selfie.controls import example_states
from pipeline.training.pretraining import naming_loss
from pipeline.training.reader_only import teach_affine, teach_reader


def loss_of(
    reader: Any, encoder: Encoder, params: Params, states: torch.Tensor, concepts: Sequence[str]
) -> float:
    """How unlikely a reader finds the answers that name these concepts."""
    asking = params.asking
    question = encoder.placeholder_prompt(asking.question, asking.placeholders)
    answers = [answer_about(asking, concept) for concept in concepts]
    with torch.no_grad():
        return float(naming_loss(reader, encoder, asking, question, states, answers))


def sharp(model: PreTrainedModel) -> PreTrainedModel:
    """New weights are so small that a few steps could say nothing through them."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.mul_(30 if "embed" in name else 10)
    return model


def states_of(gap: float) -> torch.Tensor:
    """States of two concepts in turn, so far apart."""
    generator = torch.Generator().manual_seed(1)
    way, noise = torch.randn(16, generator=generator), torch.randn(20, 16, generator=generator)
    return gap * torch.tensor([1.0, -1] * 10)[:, None] * way + 0.1 * noise


@pytest.mark.parametrize(("gap", "learns"), [(1.0, True), (0.0, False)])
def test_a_reader_learns_what_its_states_tell(
    model: PreTrainedModel, encoder: Encoder, params: Params, gap: float, learns: bool
) -> None:
    """And where states tell nothing, right answers are no likelier than swapped ones: the negative
    control. Measured on states that were not taught."""
    states, right = states_of(gap), ["law", "biology"] * 10
    examples = [Example(f"e{n}", "p", "r", "s", c, "train", "made") for n, c in enumerate(right)]
    finetune = params.finetune.model_copy(
        update={"learning_rate": 0.03, "lora_rank": 8, "lora_alpha": 8, "target_layers": (2,)}
    )
    taught, unseen = [slice(0, 10), slice(10, 20)]
    reader = teach_reader(
        sharp(model), encoder, examples[taught], [states[taught]], params.asking, finetune, 60, 0
    )
    own = loss_of(reader, encoder, params, states[unseen], right[unseen])
    swapped = loss_of(reader, encoder, params, states[unseen], right[unseen][::-1])
    assert (swapped - own > 0.2) == learns


def test_the_states_that_it_reads_are_the_untouched_models(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example]
) -> None:
    """Whatever the adapter makes of texts, the given states are read and none is made anew."""
    train = [e for e in examples if e.split == "train"]
    layer, (position,) = params.asking.layer, params.asking.positions
    states = example_states(model, encoder, train, [layer], [position], 8)[layer, position]
    before = states.clone()
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    args = train, [states], params.asking, params.finetune
    taught = teach_reader(model, encoder, *args, 3, 0)
    assert torch.equal(states, before)
    for name, weight in taught.get_base_model().state_dict().items():
        if "lora" not in name:
            assert torch.equal(weight, weights[name.replace(".base_layer", "")]), name


def test_no_steps_leave_the_untouched_reader(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    states, concepts = states_of(1), ["law"] * 20
    before = loss_of(model, encoder, params, states, concepts)
    examples = [Example(f"e{n}", "p", "r", "s", "law", "train", "made") for n in range(20)]
    taught = teach_reader(model, encoder, examples, [states], params.asking, params.finetune, 0, 0)
    assert loss_of(taught, encoder, params, states, concepts) == pytest.approx(before, abs=1e-6)


def affine_of(
    model: PreTrainedModel,
    encoder: Encoder,
    params: Params,
    states: torch.Tensor,
    concepts: Sequence[str],
    steps: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    return teach_affine(
        model, encoder, concepts, [states], params.asking, params.finetune, 0.1, steps, 0
    )


@pytest.mark.parametrize(("gap", "finds"), [(1.0, True), (0.0, False)])
def test_a_scale_and_a_bias_bring_states_to_where_a_model_reads(
    model: PreTrainedModel, encoder: Encoder, params: Params, gap: float, finds: bool
) -> None:
    """The states of a model that can read are moved away, all alike; what is taught brings them
    back. Where they tell nothing, it makes right answers no likelier than swapped ones: the
    negative control. Measured on states that were not taught."""
    right, (taught, unseen) = ["law", "biology"] * 10, (slice(0, 10), slice(10, 20))
    finetune = params.finetune.model_copy(
        update={"learning_rate": 0.03, "lora_rank": 8, "lora_alpha": 8, "target_layers": (2,)}
    )
    examples = [Example(f"e{n}", "p", "r", "s", c, "train", "made") for n, c in enumerate(right)]
    reader: Any = teach_reader(
        sharp(model), encoder, examples, [states_of(1)], params.asking, finetune, 60, 0
    )
    away = states_of(gap) + 3 * torch.randn(16, generator=torch.Generator().manual_seed(2))
    scale, bias = affine_of(reader, encoder, params, away[taught], right[taught], 100)

    def told_apart(states: torch.Tensor) -> float:
        own = loss_of(reader, encoder, params, states, right[unseen])
        return loss_of(reader, encoder, params, states, right[unseen][::-1]) - own

    before, after = told_apart(away[unseen]), told_apart(scale * away[unseen] + bias)
    assert (after > before + 0.2) == finds, (before, after)


def test_one_number_more_than_the_width_is_trained_and_no_weight_moves(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    states, before = states_of(1), {n: w.clone() for n, w in model.state_dict().items()}
    kept = states.clone()
    scale, bias = affine_of(model, encoder, params, states, ["law"] * 20, 3)
    assert scale.numel() + bias.numel() == states.shape[1] + 1
    assert scale != 1
    assert bool((bias != 0).any())
    assert torch.equal(states, kept)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name
        assert weight.grad is None, name


def test_no_steps_leave_reading_untrained(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    scale, bias = affine_of(model, encoder, params, states_of(1), ["law"] * 20, 0)
    assert torch.equal(scale * states_of(1) + bias, states_of(1))


def test_both_readers_are_taught_the_same_texts(
    model: PreTrainedModel, encoder: Encoder, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal budgets: as many steps, of the same texts each."""
    asked: list[list[str]] = []

    def spied(*args: Any) -> torch.Tensor:
        asked.append(list(args[5]))
        return naming_loss(*args)

    monkeypatch.setattr("pipeline.training.reader_only.naming_loss", spied)
    concepts = ["law", "biology", "music", "food"] * 5
    affine_of(model, encoder, params, states_of(1), concepts, 4)
    examples = [Example(f"e{n}", "p", "r", "s", c, "train", "made") for n, c in enumerate(concepts)]
    teach_reader(model, encoder, examples, [states_of(1)], params.asking, params.finetune, 4, 0)
    assert len(asked) == 8
    assert asked[:4] == asked[4:]
    assert asked[0] != asked[1]
