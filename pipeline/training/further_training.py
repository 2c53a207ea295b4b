"""A model that goes on training under its monitor: an attacker's steps, and honest ones.

Each goal is a finetune by the same step, from the same start and on the same pairs: an adapter on
every block of a model that stays as it is, so that without the adapter the model is back.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline.core.records import Example, Pair
from pipeline.core.sections import Asking, Finetune, FurtherTraining, Reading, Runtime
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import config_of
from pipeline.models.lora import with_lora
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective
from pipeline.training.step import HiddenFrom

OTHER_TEXTS = "other_texts"


@dataclass(frozen=True)
class Goal:
    """What a model is trained further for, as a row of variants says it of a finetune."""

    steps: int
    contrast: str = "none"
    contrast_weight: float = 0.0
    retain_weight: float = 0.0
    penalty_weight: float = 0.0
    response_weight: float = 0.0
    of_documents: bool = False  # learn from other texts, and not from pairs


def goals(params: FurtherTraining, data: FinetuneData) -> dict[str, Goal]:
    """By name: `hiding` from a monitor while predictions stay; `no_hiding`, the same steps with
    predictions alone, a control; and plain finetuning on `safe_answers` and on `other_texts`, which
    nobody means as an attack. Either is left out where no text has any."""
    steps, kept = params.steps, params.penalty_weight
    found = {
        "hiding": Goal(steps, "hiding", params.hiding_weight, penalty_weight=kept),
        "no_hiding": Goal(steps, penalty_weight=kept),
    }
    if any(example.safe_response for example in data.examples.values()):
        found["safe_answers"] = Goal(steps, response_weight=1.0)
    if any(document.response for document in data.documents):
        found[OTHER_TEXTS] = Goal(steps, response_weight=1.0, of_documents=True)
    return found


def documents_to_answer(data: FinetuneData) -> FinetuneData:
    """The documents that have a response, as texts whose answer is learned, in place of pairs; the
    examples stay beside them, as validation reads those."""
    answered = [document for document in data.documents if document.response]
    learned = {
        d.id: Example(d.id, d.prompt, d.response, d.response, "", "train", "") for d in answered
    }
    return replace(
        data,
        examples={**data.examples, **learned},
        pairs=[Pair(d.id, d.id, "", "whole") for d in answered],
    )


def train_further(
    model: PreTrainedModel,
    encoder: Encoder,
    data: FinetuneData,
    goal: Goal,
    hidden_from: HiddenFrom,
    reading: Reading,
    params: Finetune,
    asking: Asking,
    runtime: Runtime,
    seed: int,
    checkpoint: Checkpoint,
) -> Any:
    """The model with an adapter that was trained for a goal, in evaluation mode; its own weights
    are as before, and `unload()` of what is returned gives the model back.

    Pairs that run out come again. hidden_from: the monitor, which reads where `reading` says. The
    penalty is the true KL on the pairs and on other texts, as an attacker would have it who answers
    as before. Raises InputError where the objective diverges.
    """
    if goal.of_documents:
        data = documents_to_answer(data)
    rounds = math.ceil(goal.steps * params.pairs_per_step / len(data.pairs))
    data = replace(data, pairs=[*data.pairs] * rounds)
    everywhere = {"target_layers": (config_of(model).num_hidden_layers,)}
    knobs = params.model_copy(
        update={
            "target_layers": (reading.layer,),
            "positions": (reading.position,),
            "penalty": "kl",
            "penalty_texts": ("retain", "pairs"),
            "watch_every": goal.steps,  # no curve is kept
        }
    )
    torch.manual_seed(seed)
    adapted = with_lora(model, params.model_copy(update=everywhere))
    objective = Objective(
        adapted,
        encoder,
        knobs,
        goal,
        asking,
        runtime.checkpointing,
        runtime.pairs_per_pass,
        hidden_from,
    )
    finetune(objective, data, knobs, seed, checkpoint)
    objective.use_dropout(False)
    return adapted
