"""How likely a reader finds the name of every concept, of a hidden state that it is asked about.

An open answer says one thing, and how sure the model is of its tokens. A closed one is chosen among
the concepts: the likelihoods, divided by their sum, are a probability for each of them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import answer_about
from pipeline.core.records import ClosedReading, Example
from pipeline.core.representations import Representations
from pipeline.core.sections import Asking, Selfie
from pipeline.models.encoding import Encoder
from pipeline.selfie.crossings import Adapter
from pipeline.selfie.prompts import state_prompt
from pipeline.selfie.relevancy import answer_log_likelihoods


def concept_log_likelihoods(
    model: PreTrainedModel,
    encoder: Encoder,
    states: Tensor | None,
    concepts: Sequence[str],
    asking: Asking,
    per_batch: int,
) -> Tensor:
    """log p(the answer that names a concept | asking.question about a state [N, D]), in nats:
    [N, concepts]; [1, concepts] where None is injected. `per_batch` answers are read together."""
    answers = encoder.answers([answer_about(asking, concept) for concept in concepts])
    prompt = state_prompt(encoder, asking)
    return answer_log_likelihoods(model, [prompt], states, asking, answers, per_batch)


def read_closed(
    reader: PreTrainedModel,
    encoder: Encoder,
    stored: Representations,
    examples: Sequence[Example],
    concepts: Sequence[str],
    control: str,
    asking: Asking,
    params: Selfie,
    adapter: Adapter | None = None,
) -> list[ClosedReading]:
    """The likelihoods of all concepts, of stored states at asking.layer and asking.positions, which
    an adapter maps first: a record for each position and example."""
    ids, found = [example.id for example in examples], []
    for position in asking.positions:
        states = torch.from_numpy(stored.of_texts(ids, asking.layer, position))
        scores = concept_log_likelihoods(
            reader,
            encoder,
            adapter(states) if adapter else states,
            concepts,
            asking,
            params.texts_per_batch,
        )
        found += [
            ClosedReading(e.id, e.concept, e.split, position, control, tuple(own))
            for e, own in zip(examples, scores.tolist(), strict=True)
        ]
    return found
