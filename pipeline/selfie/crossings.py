"""Who reads whose states, and what else names their concepts.

A variant that names its own states' concepts more often may have clearer states, a better reader,
or both. So the untouched model reads every variant's states, and every variant the untouched
model's. What names concepts without asking a model is recorded in the same form.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import answer_about
from pipeline.core.records import Example, Interpretation
from pipeline.core.representations import Representations
from pipeline.core.sections import Asking, Selfie
from pipeline.models.encoding import Encoder
from pipeline.selfie.controls import as_records
from pipeline.selfie.interpret import VectorInterpretation, interpret_states

Adapter = Callable[[Tensor], Tensor]  # maps states [N, D] to the vectors that are injected


def interpret_stored(
    reader: PreTrainedModel,
    encoder: Encoder,
    stored: Representations,
    examples: Sequence[Example],
    control: str,
    asking: Asking,
    params: Selfie,
    adapter: Adapter | None = None,
) -> list[Interpretation]:
    """What a reader says of states that were stored, its own or another model's, at asking.layer
    and asking.positions, which an adapter maps first: a record for each position and example."""
    ids, found = [example.id for example in examples], []
    for position in asking.positions:
        states = torch.from_numpy(stored.of_texts(ids, asking.layer, position))
        vectors = adapter(states) if adapter else states
        answers = interpret_states(reader, encoder, vectors, asking, params)
        found += as_records(examples, answers, asking.layer, position, control)
    return found


def named_records(
    examples: Sequence[Example],
    concepts: Sequence[str],
    position: str,
    control: str,
    asking: Asking,
) -> list[Interpretation]:
    """Concepts that were named for examples without a model being asked, as answers in its own
    form, so that every judge treats them alike."""
    said = [VectorInterpretation(answer_about(asking, concept), (), ()) for concept in concepts]
    return as_records(examples, said, asking.layer, position, control)
