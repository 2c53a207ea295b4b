"""A reader that is taught the labels, while the states that it reads stay what they are.

A finetune with labels moves states, and its penalty keeps the reading of them: what is named more
often may be due to either. Here the same labels are spent on the reading alone: on an adapter of
the reader's weights or, where these stay too, on one scale and one bias that states go through.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import answer_about
from pipeline.core.console import progress
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Example
from pipeline.core.sections import Asking, Finetune
from pipeline.models.encoding import Encoder
from pipeline.models.lora import with_lora
from pipeline.models.peft_import import PeftModel
from pipeline.training.pretraining import naming_loss


def teach_reader(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    states: Sequence[Tensor],
    asking: Asking,
    params: Finetune,
    steps: int,
    seed: int,
) -> PeftModel:
    """The model with a finetune's adapter, which was taught to name the concepts of given states.

    states: those of the examples [N, D] at asking.layer, one tensor for each of asking.positions,
    as the model without an adapter has them. The budget is a finetune's: its adapter, learning rate
    and clipping, and as many labelled texts a step as pairs_per_step pairs have. The adapter is for
    reading alone: it also changes what the model makes of any text, which no penalty holds.
    """
    torch.manual_seed(seed)
    adapted = with_lora(model, params)
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=params.learning_rate, weight_decay=0.0, fused=True)
    question = encoder.placeholder_prompt(asking.question, asking.placeholders)
    concepts = [example.concept for example in examples]
    for given, answers in _lessons(concepts, states, asking, params, steps, seed):
        vectors = given.to(adapted.device)
        loss = naming_loss(adapted, encoder, asking, question, vectors, answers)
        _improve(loss, weights, optimizer, params.clip_norm)
    adapted.eval()
    return adapted


def teach_affine(
    model: PreTrainedModel,
    encoder: Encoder,
    concepts: Sequence[str],
    states: Sequence[Tensor],
    asking: Asking,
    params: Finetune,
    learning_rate: float,
    steps: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """The scale s [] and bias b [D] through which a model that nothing trains names the concepts of
    states h best, where s h + b is injected (arXiv 2602.10352).

    concepts: N labels. states: of their texts, as for `teach_reader`, whose budget this is, and the
    texts of every step. The start is s = 1 and b = 0, which is reading without training. The D + 1
    numbers teach the model no word, and tell no concepts apart that the states do not: they move
    all states alike to where the model reads best.
    """
    scale = torch.ones((), device=model.device, requires_grad=True)
    bias = torch.zeros(states[0].shape[1], device=model.device, requires_grad=True)
    weights = [scale, bias]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0, fused=True)
    question = encoder.placeholder_prompt(asking.question, asking.placeholders)
    for given, answers in _lessons(concepts, states, asking, params, steps, seed):
        vectors = scale * given.to(model.device) + bias
        loss = naming_loss(model, encoder, asking, question, vectors, answers)
        _improve(loss, weights, optimizer, params.clip_norm)
    return scale.detach().cpu(), bias.detach().cpu()


def _lessons(
    concepts: Sequence[str],
    states: Sequence[Tensor],
    asking: Asking,
    params: Finetune,
    steps: int,
    seed: int,
) -> Iterator[tuple[Tensor, list[str]]]:
    """States [B, D] and the answers that name their concepts, step by step: the same ones for
    whatever is taught."""
    rng = rng_of(RandomStream.READER, seed)
    for _ in progress(range(steps), "teaching a reader"):
        chosen = rng.integers(len(concepts), size=2 * params.pairs_per_step)
        given = states[int(rng.integers(len(states)))][chosen]
        yield given, [answer_about(asking, concepts[index]) for index in chosen]


def _improve(
    loss: Tensor, weights: Sequence[Tensor], optimizer: torch.optim.Optimizer, clip_norm: float
) -> None:
    """One step of these weights alone: no other gets a gradient."""
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    torch.nn.utils.clip_grad_norm_(weights, clip_norm)
    optimizer.step()
