"""A reader that is taught the labels, while the states that it reads stay what they are.

A finetune with labels moves states, and its penalty keeps the reading of them: what is named more
often may be due to either. Here the same labels are spent on the reading alone.
"""

from collections.abc import Sequence

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
    rng = rng_of(RandomStream.READER, seed)
    lessons = progress(range(steps), "teaching a reader")
    for _ in lessons:
        chosen = rng.integers(len(examples), size=2 * params.pairs_per_step)
        vectors = states[int(rng.integers(len(states)))][chosen].to(adapted.device)
        answers = [answer_about(asking, examples[index].concept) for index in chosen]
        loss = naming_loss(adapted, encoder, asking, question, vectors, answers)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, params.clip_norm)
        optimizer.step()
        lessons.say(loss=float(loss.detach()))
    adapted.eval()
    return adapted
