"""Ask a model about its own hidden states, beside what it would say without them.

Four controls tell an interpretation from a guess: nothing injected, a random vector, another
text's state, and the mean state. Two baselines tell it from what is cheaper: the same question
with the text itself in words, and the logit lens, which takes no words at all.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import spoken
from pipeline.core.records import CONTROLS, Example, Interpretation, TokenInterpretation
from pipeline.core.sections import Asking, Selfie, TokenPosition
from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.hooks import decoder_blocks, hidden_states, normed
from pipeline.models.logits import logits_of
from pipeline.selfie.decoding import Search
from pipeline.selfie.interpret import Reading, interpret, read_aloud
from pipeline.selfie.prompts import asked_of_words

INJECTED = ("state", *(control for control in CONTROLS if control != "none"))
Place = tuple[int, TokenPosition]  # a layer and a position


@torch.no_grad()
def interpret_examples(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    concepts: Sequence[str],
    asking: Asking,
    params: Selfie,
    seed: int,
) -> list[Interpretation]:
    """Interpret the states of texts at asking.layer and params.layers and every position, with all
    controls and baselines. The logit lens chooses among `concepts`.

    All texts are asked about together, and everything that is injected is one batch to `interpret`.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = sorted({asking.layer, *params.layers})
    states = states_of(model, encoder, examples, layers, asking.positions, params.texts_per_batch)
    vectors = {
        (place, control): controlled(found, control, generator)
        for place, found in states.items()
        for control in INJECTED
    }
    said = interpret(model, encoder, torch.cat(list(vectors.values())), asking, params)
    parts = iter(said)
    readings = {
        key: [next(parts) for _ in range(len(injected))] for key, injected in vectors.items()
    }
    nothing = interpret(model, encoder, None, asking, params)
    words = {
        position: answers_to_words(model, encoder, examples, position, asking, params)
        for position in asking.positions
    }
    for place, found in states.items():
        readings[place, "none"] = nothing
        readings[place, "input_only"] = words[place[1]]
        readings[place, "logit_lens"] = [
            Reading(text, (), ())
            for text in lens(model, encoder, found, place[0], concepts, asking)
        ]
    return [
        Interpretation(
            example=example.id,
            concept=example.concept,
            split=example.split,
            layer=layer,
            position=position,
            control=control,
            text=reading.text,
            tokens=reading.tokens,
            relevancy=reading.relevancy,
        )
        for ((layer, position), control), found in readings.items()
        # What is the same for all texts was read once.
        for example, reading in zip(
            examples, found * (len(examples) if len(found) == 1 else 1), strict=True
        )
    ]


def controlled(states: Tensor, control: str, generator: torch.Generator) -> Tensor:
    """What to inject in place of the states [N, D]: [N, D], or [1, D] where it is the same for all
    texts.

    `random` draws from a Gaussian with the states' own mean and spread per dimension, scaled to
    each state's norm; `other` gives every text the state of a different one.
    """
    match control:
        case "state":
            return states
        case "random":
            noise = torch.randn(states.shape, generator=generator)
            drawn = noise * states.std(0, correction=0) + states.mean(0)
            lengths: Tensor = states.norm(dim=1, keepdim=True)
            return F.normalize(drawn, dim=1) * lengths
        case "other":
            order = torch.randperm(len(states), generator=generator)
            return states[order[torch.argsort(order).add(1).remainder(len(states))]]
        case "mean":
            return states.mean(0, keepdim=True)
    raise ValueError(f"control {control!r}: one of {', '.join(INJECTED)}")


def answers_to_words(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    position: str,
    asking: Asking,
    params: Selfie,
) -> list[Reading]:
    """What the model says when it is asked about the words that a state at this position has
    seen: of a long prompt its last tokens, of a long text its first, as many as a text may have."""
    whole = position != "prompt_end"
    cut = encoder.text.prompt_tokens + (encoder.text.response_tokens if whole else 0)
    texts = [e.words if whole else e.prompt for e in examples]
    prompts = [
        asked_of_words(encoder, asking, ids[:cut] if whole else ids[-cut:])
        for ids in encoder.all_contents(texts)
    ]
    search = Search(params.max_new_tokens, params.texts_per_batch)
    ends = ends_of(model, encoder.tokenizer, encoder.end)
    return read_aloud(model, encoder.tokenizer, prompts, None, asking, search, ends)


def lens(
    model: PreTrainedModel,
    encoder: Encoder,
    states: Tensor,
    layer: int,
    concepts: Sequence[str],
    asking: Asking,
) -> list[str]:
    """The logit lens: which concept's name begins most likely, by the model's own final norm and
    head over states [N, D] of a layer. Names that begin alike are told together."""
    opening = len(encoder.contents(asking.answer.partition("{concept}")[0].rstrip()))
    answers = [asking.answer.replace("{concept}", spoken(concept)) for concept in concepts]
    firsts = [ids[opening] for ids in encoder.all_contents(answers)]
    states = states.to(model.device, model.dtype)
    # The last layer is taken after the norm already.
    final = states if layer == len(decoder_blocks(model)) else normed(model, states)
    logits = logits_of(model, final)[:, firsts]
    best = logits == logits.max(1, keepdim=True).values
    return [
        " or ".join(spoken(name) for name, chosen in zip(concepts, row, strict=True) if chosen)
        for row in best.tolist()
    ]


@torch.no_grad()
def interpret_tokens(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    asking: Asking,
    params: Selfie,
) -> list[TokenInterpretation]:
    """Interpret every token of a few texts at every layer: what a heat map shows."""
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    batch = encoder.batch(texts, model.device)
    layers = range(len(decoder_blocks(model)) + 1)
    hidden = hidden_states(model, batch.ids, batch.mask, layers)
    vectors = torch.cat([hidden[layer][batch.mask.bool()].float().cpu() for layer in layers])
    readings = iter(interpret(model, encoder, vectors, asking, params))
    return [
        TokenInterpretation(
            example=example.id,
            concept=example.concept,
            layer=layer,
            place=place,
            token=encoder.decode([token]),
            text=reading.text,
            tokens=reading.tokens,
            relevancy=reading.relevancy,
        )
        for layer in layers
        for example, text in zip(examples, texts, strict=True)
        for (place, token), reading in zip(enumerate(text.ids), readings, strict=False)
    ]


@torch.no_grad()
def states_of(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    layers: Sequence[int],
    positions: Sequence[TokenPosition],
    per_batch: int,
) -> dict[Place, Tensor]:
    """The states [N, D] of texts, by layer and position, in float32."""
    found: dict[Place, list[Tensor]] = {
        (layer, position): [] for layer in layers for position in positions
    }
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    for start in range(0, len(texts), per_batch):
        batch = encoder.batch(texts[start : start + per_batch], model.device)
        hidden = hidden_states(model, batch.ids, batch.mask, layers)
        for (layer, position), parts in found.items():
            parts.append(batch.at(hidden[layer], position).float().cpu())
    return {place: torch.cat(parts) for place, parts in found.items()}
