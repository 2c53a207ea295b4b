"""SelfIE: the model reads hidden states aloud (arXiv 2403.10949).

A hidden state takes the place of a message in a question about that message; what the model
answers is the state's interpretation. How far each of its tokens hangs on the state is their
relevancy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.console import InputError, progress
from pipeline.core.sections import Asking, Selfie
from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.hooks import Manner, config_of
from pipeline.selfie.decoding import Search, can_widen, decode, search_beams
from pipeline.selfie.kv_cache import read_ids
from pipeline.selfie.prompts import Prompt, asked_of_state
from pipeline.selfie.relevancy import read_plain, with_injection, without_injection


class Reading(NamedTuple):
    """What the model says of a vector: the text, its tokens, and the signed relevancy of each, in
    [-1, 1]. Tokens from the end of the answer on are left out."""

    text: str
    tokens: tuple[str, ...]
    relevancy: tuple[float, ...]

    @property
    def absolute(self) -> tuple[float, ...]:
        """Relevancy as the published code has it."""
        return tuple(abs(score) for score in self.relevancy)


def interpret(
    model: PreTrainedModel,
    encoder: Encoder,
    vectors: Tensor | None,
    asking: Asking,
    params: Selfie,
) -> list[Reading]:
    """Read vectors [N, D] aloud, greedily, in answer to asking.question; equal ones once. None:
    one reading of the question as it is."""
    search = Search(params.max_new_tokens, params.texts_per_batch)
    ends = ends_of(model, encoder.tokenizer, encoder.end)
    prompt = asked_of_state(encoder, asking)
    which, chosen = [0], vectors
    if vectors is not None:
        which, first = _distinct(vectors)
        chosen = vectors[first]
    read = read_aloud(model, encoder.tokenizer, [prompt], chosen, asking, search, ends)
    return [read[number] for number in which]


@torch.no_grad()
def read_aloud(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    vectors: Tensor | None,
    manner: Manner,
    search: Search,
    ends: Sequence[int],
) -> list[Reading]:
    """What the model answers to prompts with vectors in their places.

    prompts: one for all readings, or one for each. vectors: [N, D], or [N, V, D] for prompts that
    number V of them; None: the prompts are asked as they are.
    The relevancy of token t_i is P(t_i | prompt, t_<i, injected) - P(t_i | prompt, t_<i) with
    softmax in float32. Batches change nothing: not what is said, and what is drawn only by `seed`.
    """
    count = len(prompts) if vectors is None else len(vectors)
    _refuse(model, prompts, vectors, count)
    by_place = None if vectors is None else _by_place(prompts, vectors)
    if vectors is not None and len(prompts) == 1 and not can_widen(model, manner):
        prompts = [*prompts] * count
    one = len(prompts) == 1
    opening = plain = None
    if one and vectors is not None:
        opening = read_ids(model, prompts[0].ids[: prompts[0].places[0]])
        plain = read_plain(model, prompts[0])
    noise = None
    if search.temperature:
        drawing = torch.Generator().manual_seed(search.seed)
        noise = torch.rand(count, search.max_new_tokens, generator=drawing)
    # Prompts of like length share a batch.
    order = torch.tensor(sorted(range(count), key=lambda row: 0 if one else len(prompts[row].ids)))
    tokens = torch.full((count, search.max_new_tokens), ends[0])
    relevancy = torch.zeros(tokens.shape)
    for chosen in progress(order.split(search.per_batch), "reading aloud"):
        asked = prompts if one else [prompts[row] for row in chosen.tolist()]
        written = None if by_place is None else by_place[chosen]
        below = None
        if search.beams > 1:
            said = search_beams(model, asked, written, manner, search, ends)
            each = asked if len(asked) == len(chosen) else [*asked] * len(chosen)
            sure = with_injection(model, each, written, manner, said)
        else:
            drawn = None if noise is None else noise[chosen]
            said, sure, below = decode(model, asked, written, manner, search, ends, opening, drawn)
        said = said.cpu()
        tokens[chosen, : said.shape[1]] = said
        if plain:
            lengths = _lengths(said, ends)
            bare = without_injection(model, plain, said, lengths, manner.inject_layer, below)
        else:
            bare = sure if written is None else with_injection(model, asked, None, None, said)
        relevancy[chosen, : said.shape[1]] = sure.cpu() - bare.cpu()
    return _readings(tokenizer, tokens, _lengths(tokens, ends), relevancy)


def _refuse(
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
    numbered = max((max(prompt.vectors, default=-1) + 1 for prompt in prompts), default=0)
    given = 1 if vectors.ndim == 2 else vectors.shape[1]
    if any(not prompt.places for prompt in prompts):
        raise InputError("a prompt has no placeholder to write a vector to")
    if numbered > given:
        raise InputError(f"the prompt numbers {numbered} vectors, but {given} were given for each")
    width = config_of(model).hidden_size
    if vectors.shape[-1] != width:
        raise InputError(f"vectors of width {vectors.shape[-1]} for a model of width {width}")
    if not bool(torch.isfinite(vectors).all()):
        raise InputError("a vector to interpret is not finite")


def _by_place(prompts: Sequence[Prompt], vectors: Tensor) -> Tensor:
    """Vectors [N, V, D] as [N, P, D], one for each placeholder of a row in order; [N, D] are
    the same everywhere."""
    if vectors.ndim == 2:
        return vectors
    most = max(len(prompt.places) for prompt in prompts)
    numbers = [[*prompt.vectors, *[0] * (most - len(prompt.vectors))] for prompt in prompts]
    return vectors.take_along_dim(torch.tensor(numbers, device=vectors.device)[..., None], 1)


def _distinct(vectors: Tensor) -> tuple[list[int], list[int]]:
    """Which distinct row each row is, bit by bit, and where each distinct one is first met."""
    rows = vectors.detach().cpu().contiguous().view(torch.uint8).numpy()
    numbers: dict[bytes, int] = {}
    which: list[int] = []
    first: list[int] = []
    for place, row in enumerate(rows):
        number = numbers.setdefault(row.tobytes(), len(numbers))
        which.append(number)
        if number == len(first):
            first.append(place)
    return which, first


def _lengths(tokens: Tensor, ends: Sequence[int]) -> Tensor:
    """How many tokens [N] stand before an answer's end."""
    ended = torch.isin(tokens, torch.tensor(ends)).long()
    return torch.where(ended.any(1), ended.argmax(1), tokens.shape[1])


def _readings(
    tokenizer: PreTrainedTokenizerBase, tokens: Tensor, lengths: Tensor, relevancy: Tensor
) -> list[Reading]:
    said: dict[tuple[int, ...], tuple[str, tuple[str, ...]]] = {}
    readings = []
    for ids, length, scores in zip(
        tokens.tolist(), lengths.tolist(), relevancy.tolist(), strict=True
    ):
        kept = tuple(ids[:length])
        if kept not in said:
            pieces = tuple(str(tokenizer.decode([token])) for token in kept)
            said[kept] = str(tokenizer.decode(list(kept))).strip(), pieces
        readings.append(Reading(*said[kept], tuple(scores[:length])))
    return readings
