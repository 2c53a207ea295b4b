"""SelfIE: a model puts hidden states into words (arXiv 2403.10949).

A hidden state is injected where the message of a question about that message would stand. The
model's answer is the interpretation of the state. The relevancy of each of its tokens is how much
the injection adds to the token's probability.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.console import InputError, progress
from pipeline.core.finite import not_finite
from pipeline.core.sections import Asking, Selfie
from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.generating import ignores_padding
from pipeline.models.hooks import InjectionSettings, config_of
from pipeline.selfie.decoding import Decoding, can_widen, decode, search_beams
from pipeline.selfie.kv_cache import can_start_at, check_cache, prefilled_cache
from pipeline.selfie.prompts import Prompt, state_prompt
from pipeline.selfie.relevancy import answer_probabilities, plain_probabilities, prefill_plain


class VectorInterpretation(NamedTuple):
    """A model's answer to a prompt with an injected vector: the text, its tokens, and the signed
    relevancy of each token, in [-1, 1]. The token that ends an answer is left out.

    likelihood: the geometric mean of the tokens' probabilities in [0, 1], of the one that ends the
    answer too; None where no model said it.
    """

    text: str
    tokens: tuple[str, ...]
    relevancy: tuple[float, ...]
    likelihood: float | None = None

    @property
    def absolute(self) -> tuple[float, ...]:
        """|relevancy|, which is what the published code computes."""
        return tuple(abs(score) for score in self.relevancy)


def interpret_states(
    model: PreTrainedModel,
    encoder: Encoder,
    states: Tensor | None,
    asking: Asking,
    params: Selfie,
) -> list[VectorInterpretation]:
    """The model's greedy answers to asking.question about states [N, D]: one for each state.

    Equal states are interpreted once. None: one answer, to the question with nothing injected.
    Raises InputError as answer_prompts.
    """
    decoding = Decoding(params.max_new_tokens, params.texts_per_batch)
    ends = ends_of(model, encoder.tokenizer, encoder.end)
    prompt = state_prompt(encoder, asking)
    which, distinct = [0], states
    if states is not None:
        which, first = _distinct(states)
        distinct = states[first]
    found = answer_prompts(model, encoder.tokenizer, [prompt], distinct, asking, decoding, ends)
    return [found[number] for number in which]


@torch.no_grad()
def answer_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    settings: InjectionSettings,
    decoding: Decoding,
    ends: Sequence[int],
) -> list[VectorInterpretation]:
    """The model's answers to prompts with vectors injected over their slots.

    prompts: one for all answers, or one for each. vectors: [N, D], or [N, V, D] for prompts that
    number V of them; None: the prompts are asked as they stand, and every relevancy is 0.
    ends: the tokens that end an answer.
    The relevancy of token t_i is P(t_i | prompt, t_<i, injected) - P(t_i | prompt, t_<i), with the
    softmax in float32. Batches change no answer, and a sampled one depends on decoding.seed alone.
    Raises InputError for vectors that do not fit the prompts or the model, or are not finite.
    """
    count = len(prompts) if vectors is None else len(vectors)
    _check_fit(model, prompts, vectors, count)
    check_cache(model)
    by_slot = None if vectors is None else _by_slot(prompts, vectors)
    if vectors is not None and len(prompts) == 1 and not can_widen(model, settings):
        prompts = [*prompts] * count
    one = len(prompts) == 1
    prefix = plain_prefill = None
    start = False
    if one and vectors is not None:
        start = can_start_at(model, settings.inject_layer)
        prefix = prefilled_cache(model, prompts[0].ids[: prompts[0].slots[0]])
        plain_prefill = prefill_plain(model, prompts[0])
    noise = None
    if len({len(prompt.ids) for prompt in prompts}) > 1 and not ignores_padding(model):
        raise InputError(
            f"{type(model).__name__} counts padding as tokens; give prompts of one length"
        )
    if decoding.temperature:
        generator = torch.Generator().manual_seed(decoding.seed)
        noise = torch.rand(count, decoding.max_new_tokens, generator=generator)
    # Prompts of like length share a batch.
    order = torch.tensor(sorted(range(count), key=lambda row: 0 if one else len(prompts[row].ids)))
    tokens = torch.full((count, decoding.max_new_tokens), ends[0])
    probabilities = torch.zeros(tokens.shape)
    relevancy = torch.zeros(tokens.shape)
    for chosen in progress(order.split(decoding.per_batch), "interpreting"):
        asked = prompts if one else [prompts[row] for row in chosen.tolist()]
        written = None if by_slot is None else by_slot[chosen]
        block_inputs = None
        if decoding.beams > 1:
            answers = search_beams(model, asked, written, settings, decoding, ends)
            each = asked if len(asked) == len(chosen) else [*asked] * len(chosen)
            injected = answer_probabilities(model, each, written, settings, answers)
        else:
            uniform = None if noise is None else noise[chosen]
            answers, injected, block_inputs = decode(
                model, asked, written, settings, decoding, ends, prefix, uniform
            )
        answers = answers.cpu()
        tokens[chosen, : answers.shape[1]] = answers
        if plain_prefill:
            plain = plain_probabilities(
                model,
                plain_prefill,
                answers,
                _lengths(answers, ends),
                settings.inject_layer,
                block_inputs if start else None,
            )
        elif written is None:
            plain = injected
        else:
            plain = answer_probabilities(model, asked, None, None, answers)
        probabilities[chosen, : answers.shape[1]] = injected.cpu()
        relevancy[chosen, : answers.shape[1]] = injected.cpu() - plain.cpu()
    lengths = _lengths(tokens, ends)
    return _decoded(tokenizer, tokens, lengths, relevancy, _likelihoods(probabilities, lengths))


def _check_fit(
    model: PreTrainedModel, prompts: Sequence[Prompt], vectors: Tensor | None, count: int
) -> None:
    """Raises InputError for vectors that cannot be written into these prompts."""
    if not count or not prompts or not all(prompt.ids for prompt in prompts):
        raise InputError("nothing to interpret: no vector, no prompt, or an empty prompt")
    if vectors is None:
        return
    if len(prompts) not in (1, count):
        raise InputError(f"{len(prompts)} prompts for {count} vectors; give one, or one for each")
    if vectors.ndim not in (2, 3):
        raise InputError(f"vectors of shape {list(vectors.shape)}; give [N, D] or [N, V, D]")
    numbered = max((max(prompt.numbers, default=-1) + 1 for prompt in prompts), default=0)
    given = 1 if vectors.ndim == 2 else vectors.shape[1]
    if any(not prompt.slots for prompt in prompts):
        raise InputError("a prompt has no placeholder to write a vector to")
    if numbered > given:
        raise InputError(f"the prompt numbers {numbered} vectors, but {given} were given for each")
    width = config_of(model).hidden_size
    if vectors.shape[-1] != width:
        raise InputError(f"vectors of width {vectors.shape[-1]} for a model of width {width}")
    if not bool(torch.isfinite(vectors).all()):
        raise InputError("a vector to interpret is not finite")


def _by_slot(prompts: Sequence[Prompt], vectors: Tensor) -> Tensor:
    """Vectors [N, V, D] as [N, P, D], one for each slot of a row in order. Vectors [N, D] stay as
    they are: each goes to every slot of its row."""
    if vectors.ndim == 2:
        return vectors
    most = max(len(prompt.slots) for prompt in prompts)
    numbers = [[*prompt.numbers, *[0] * (most - len(prompt.numbers))] for prompt in prompts]
    return vectors.take_along_dim(torch.tensor(numbers, device=vectors.device)[..., None], 1)


def _distinct(vectors: Tensor) -> tuple[list[int], list[int]]:
    """Which distinct row each row is, compared bit by bit, and the index at which each distinct
    row comes first."""
    rows = vectors.detach().cpu().contiguous().view(torch.uint8).numpy()
    numbers: dict[bytes, int] = {}
    which: list[int] = []
    first: list[int] = []
    for index, row in enumerate(rows):
        number = numbers.setdefault(row.tobytes(), len(numbers))
        which.append(number)
        if number == len(first):
            first.append(index)
    return which, first


def _lengths(tokens: Tensor, ends: Sequence[int]) -> Tensor:
    """The number of tokens [N] before each answer's end."""
    ended = torch.isin(tokens, torch.tensor(ends)).long()
    return torch.where(ended.any(1), ended.argmax(1), tokens.shape[1])


def _likelihoods(probabilities: Tensor, lengths: Tensor) -> Tensor:
    """The geometric mean [N] of each answer's token probabilities [N, steps], and of that of its
    end where it has one."""
    said = torch.arange(probabilities.shape[1]) <= lengths[:, None]
    # A probability of 0 is one that was too small for float32: its logarithm stays finite.
    logs = probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()
    mean: Tensor = ((logs * said).sum(1) / said.sum(1)).exp()
    return mean


def _decoded(
    tokenizer: PreTrainedTokenizerBase,
    tokens: Tensor,
    lengths: Tensor,
    relevancy: Tensor,
    likelihoods: Tensor,
) -> list[VectorInterpretation]:
    """Answers as text; equal ones are decoded once. Raises InputError for an answer whose tokens'
    probabilities are not finite: it says nothing."""
    damaged = ~torch.isfinite(relevancy).all(1)
    if damaged.any():
        raise not_finite(f"vector {int(damaged.long().argmax())}", "the logits of its answer")
    decoded: dict[tuple[int, ...], tuple[str, tuple[str, ...]]] = {}
    found = []
    for ids, length, scores, likelihood in zip(
        tokens.tolist(), lengths.tolist(), relevancy.tolist(), likelihoods.tolist(), strict=True
    ):
        kept = tuple(ids[:length])
        if kept not in decoded:
            pieces = tuple(str(tokenizer.decode([token])) for token in kept)
            decoded[kept] = str(tokenizer.decode(list(kept))).strip(), pieces
        found.append(VectorInterpretation(*decoded[kept], tuple(scores[:length]), likelihood))
    return found
