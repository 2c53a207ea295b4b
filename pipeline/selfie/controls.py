"""Interpretations of a model's hidden states, beside controls and baselines.

Four controls tell an interpretation from a guess: nothing injected, a random vector, another
text's state, and the mean state. Two baselines are cheaper ways to learn the same: the same
question with the text itself in words, and the logit lens, which asks no question.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import answer_about, spoken
from pipeline.core.finite import check_states
from pipeline.core.records import CONTROLS, Example, Interpretation, TokenInterpretation
from pipeline.core.sections import Asking, Selfie, TokenPosition
from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.hooks import decoder_blocks, hidden_states, normed
from pipeline.models.logits import logits_of
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import VectorInterpretation, answer_prompts, interpret_states
from pipeline.selfie.prompts import words_prompts

INJECTED_CONTROLS = ("state", *(control for control in CONTROLS if control != "none"))
LayerAndPosition = tuple[int, TokenPosition]


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
    """Interpretations of examples' states, with all controls and baselines.

    Layers are asking.layer and params.layers, positions asking.positions. The logit lens chooses
    among `concepts`. `seed` is of the random and the other states. One record for each layer,
    position, control or baseline, and example. All vectors go through `interpret_states` together,
    which interprets equal ones once.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = sorted({asking.layer, *params.layers})
    states = example_states(
        model, encoder, examples, layers, asking.positions, params.texts_per_batch
    )
    vectors = {
        (at, control): control_vectors(found, control, generator)
        for at, found in states.items()
        for control in INJECTED_CONTROLS
    }
    answers = iter(
        interpret_states(model, encoder, torch.cat(list(vectors.values())), asking, params)
    )
    interpretations = {
        key: [next(answers) for _ in range(len(injected))] for key, injected in vectors.items()
    }
    nothing = interpret_states(model, encoder, None, asking, params)
    words = {
        position: interpret_words(model, encoder, examples, position, asking, params)
        for position in asking.positions
    }
    for (layer, position), found in states.items():
        at = layer, position
        interpretations[at, "none"] = nothing
        interpretations[at, "input_only"] = words[position]
        interpretations[at, "logit_lens"] = [
            VectorInterpretation(text, (), ())
            for text in logit_lens(model, encoder, found, layer, concepts, asking)
        ]
    return [
        interpretation
        for ((layer, position), control), of_control in interpretations.items()
        for interpretation in as_records(examples, of_control, layer, position, control)
    ]


def as_records(
    examples: Sequence[Example],
    answers: Sequence[VectorInterpretation],
    layer: int,
    position: str,
    control: str,
) -> list[Interpretation]:
    """What was said of each example's text. A single answer is of all of them: what is the same
    for all is asked once."""
    return [
        Interpretation(
            example=example.id,
            concept=example.concept,
            split=example.split,
            layer=layer,
            position=position,
            control=control,
            text=answer.text,
            tokens=answer.tokens,
            relevancy=answer.relevancy,
            likelihood=answer.likelihood,
        )
        for example, answer in zip(
            examples, [*answers] * (len(examples) if len(answers) == 1 else 1), strict=True
        )
    ]


def control_vectors(states: Tensor, control: str, generator: torch.Generator) -> Tensor:
    """The vectors that a control injects instead of states [N, D]: [N, D], or [1, D] where all
    texts get the same.

    `state`: the states themselves. `random`: Gaussian vectors with the states' mean and standard
    deviation in each dimension, scaled to each state's norm. `other`: every text gets the state of
    another one (of one text alone, its own). `mean`: their mean. Raises ValueError for any other.
    """
    match control:
        case "state":
            return states
        case "random":
            noise = torch.randn(states.shape, generator=generator)
            drawn = noise * states.std(0, correction=0) + states.mean(0)
            norms: Tensor = states.norm(dim=1, keepdim=True)
            return F.normalize(drawn, dim=1) * norms
        case "other":
            order = torch.randperm(len(states), generator=generator)
            return states[order[torch.argsort(order).add(1).remainder(len(states))]]
        case "mean":
            return states.mean(0, keepdim=True)
    raise ValueError(f"control {control!r}: one of {', '.join(INJECTED_CONTROLS)}")


def interpret_words(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    position: str,
    asking: Asking,
    params: Selfie,
) -> list[VectorInterpretation]:
    """The model's answers to asking.question about the words that a state at this position comes
    from: the prompt, or the prompt with its response. Nothing is injected.

    A long prompt is cut to its last tokens and a long text to its first, as many as an encoded one
    may have.
    """
    answered = position != "prompt_end"
    cut = encoder.text.prompt_tokens + (encoder.text.response_tokens if answered else 0)
    texts = [e.words if answered else e.prompt for e in examples]
    kept = slice(cut) if answered else slice(-cut, None)
    prompts = words_prompts(encoder, asking, encoder.cut(texts, kept))
    decoding = Decoding(params.max_new_tokens, params.texts_per_batch)
    ends = ends_of(model, encoder.tokenizer, encoder.end)
    return answer_prompts(model, encoder.tokenizer, prompts, None, asking, decoding, ends)


def logit_lens(
    model: PreTrainedModel,
    encoder: Encoder,
    states: Tensor,
    layer: int,
    concepts: Sequence[str],
    asking: Asking,
) -> list[str]:
    """The logit lens: for each state [N, D] of a layer, the concept whose name has the likeliest
    first token, by the model's own final norm and head.

    Names with the same first token cannot be distinguished: they are joined by "or".
    """
    (opening,) = encoder.answers([asking.answer.partition("{concept}")[0].rstrip()])
    answers = encoder.answers([answer_about(asking, concept) for concept in concepts])
    firsts = [ids[len(opening)] for ids in answers]
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
    """Interpretations of every token of a few texts at every layer, for a heat map."""
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    batch = encoder.batch(texts, model.device)
    layers = range(len(decoder_blocks(model)) + 1)
    hidden = hidden_states(model, batch.ids, batch.mask, layers)
    vectors = torch.cat([hidden[layer][batch.mask.bool()].float().cpu() for layer in layers])
    answers = iter(interpret_states(model, encoder, vectors, asking, params))
    return [
        TokenInterpretation(
            example=example.id,
            concept=example.concept,
            layer=layer,
            place=index,
            token=encoder.decode([token]),
            text=answer.text,
            tokens=answer.tokens,
            relevancy=answer.relevancy,
        )
        for layer in layers
        for example, text in zip(examples, texts, strict=True)
        for (index, token), answer in zip(enumerate(text.ids), answers, strict=False)
    ]


@torch.no_grad()
def example_states(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    layers: Sequence[int],
    positions: Sequence[TokenPosition],
    per_batch: int,
) -> dict[LayerAndPosition, Tensor]:
    """The states [N, D] of examples, by layer and position, in float32 on the CPU; `per_batch`
    examples are read together. Raises InputError for a state that is not finite."""
    found: dict[LayerAndPosition, list[Tensor]] = {
        (layer, position): [] for layer in layers for position in positions
    }
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    for start in range(0, len(texts), per_batch):
        batch = encoder.batch(texts[start : start + per_batch], model.device)
        hidden = hidden_states(model, batch.ids, batch.mask, layers)
        for (layer, position), parts in found.items():
            parts.append(batch.at(hidden[layer], position).float().cpu())
    states = {at: torch.cat(parts) for at, parts in found.items()}
    names = [example.id for example in examples]
    for layer, position in sorted(states):
        check_states(states[layer, position].numpy()[None], [layer], names)
    return states
