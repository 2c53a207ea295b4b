"""Many texts in one row, without padding: how a finetune step reads them all in one pass.

Every text attends to itself alone, counts its positions from 0, and comes out as if it were read
by itself. Texts that are needed no higher than some layer stop there: the row gets shorter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pipeline.models.encoding import Encoded
from pipeline.models.hooks import around_blocks, config_of, decoder_blocks, decoder_of
from pipeline.models.packed_attention import KeysKnown, Queries, attention

Seen = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class PackedRow:
    """N texts of T tokens in all, end to end.

    ids: [T]; position_ids: [T], from 0 in each text; lengths: tokens of each text; prompt_end and
    last: [N], the index in the row of each prompt's last token, and of each text's.
    """

    ids: Tensor
    position_ids: Tensor
    lengths: tuple[int, ...]
    prompt_end: Tensor
    last: Tensor

    def first(self, texts: int) -> "PackedRow":
        """The row of the first texts alone."""
        tokens = sum(self.lengths[:texts])
        return PackedRow(
            self.ids[:tokens],
            self.position_ids[:tokens],
            self.lengths[:texts],
            self.prompt_end[:texts],
            self.last[:texts],
        )

    def tokens(self, texts: slice) -> slice:
        """The tokens of consecutive texts, as indices in the row."""
        start = sum(self.lengths[: texts.start or 0])
        return slice(start, start + sum(self.lengths[texts]))

    def at(self, hidden: Tensor, position: str, texts: slice = slice(None)) -> Tensor:
        """The hidden states [T, D] of texts at a named position: [N, D]."""
        if position == "mean":
            parts = hidden[self.tokens(texts)].split(self.lengths[texts])
            return torch.stack([part.mean(0) for part in parts])
        return hidden[(self.prompt_end if position == "prompt_end" else self.last)[texts]]

    def predicting(self, texts: slice = slice(None)) -> Tensor:
        """The indices in the row of consecutive texts' tokens, but for the last of each: those
        that a token of the same text follows."""
        follows = torch.ones(len(self.ids), dtype=torch.bool, device=self.ids.device)
        follows[self.last] = False
        indices, own = follows.nonzero()[:, 0], self.tokens(texts)
        return indices[(indices >= own.start) & (indices < own.stop)]


def pack(texts: Sequence[Encoded], device: torch.device | None = None) -> PackedRow:
    """Lay texts end to end."""
    lengths = tuple(len(text.ids) for text in texts)
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    ends = [start + text.prompt_end for start, text in zip(starts, texts, strict=False)]
    lasts = [start + text.last for start, text in zip(starts, texts, strict=False)]
    return PackedRow(
        ids=torch.tensor([token for text in texts for token in text.ids], device=device),
        position_ids=torch.cat([torch.arange(length) for length in lengths]).to(device),
        lengths=lengths,
        prompt_end=torch.tensor(ends, device=device),
        last=torch.tensor(lasts, device=device),
    )


class ReadRow(Protocol):
    """Reads a row through a decoder and shows `see` every layer: its number, and [tokens, D].

    Layers up to `stop` are of all tokens; above it only the first `texts_above` texts (None: all)
    are needed, and a reader may read no others. Returns their final hidden states [tokens, D], or
    None where no text is read on. Where none is, layer `stop` may be shown at the tokens that are
    `needed` alone (their indices in the row [P]), and NaN elsewhere.
    With `checkpointing`, blocks keep their input alone and run again in the backward pass.
    """

    def __call__(
        self,
        model: Any,
        row: PackedRow,
        see: Seen,
        stop: int = 0,
        texts_above: int | None = None,
        checkpointing: bool = False,
        needed: Tensor | None = None,
    ) -> Tensor | None: ...


def read_row(
    model: Any,
    row: PackedRow,
    see: Seen,
    stop: int = 0,
    texts_above: int | None = None,
    checkpointing: bool = False,
    needed: Tensor | None = None,
) -> Tensor | None:
    """Read a packed row; ReadRow says what is shown and returned."""
    tokens, depth = len(row.ids), len(decoder_blocks(model))
    assert needed is None or stop >= depth or texts_above == 0  # a text that goes on needs all
    above = row if texts_above is None or stop >= depth else row.first(texts_above)
    kept = len(above.ids)

    def run(layer: int, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        see(layer, hidden[0])
        if layer >= stop and kept < tokens:
            if not kept:
                raise _NothingAbove
            hidden = hidden[:, :kept]
            args, kwargs = _cut((args, kwargs), tokens, slice(kept))
            kwargs["segments"] = above.lengths
        if needed is not None and layer == stop - 1:
            return _forward_at(needed, forward, hidden, *args, **kwargs)
        out = _forward(model, forward, checkpointing, hidden, *args, **kwargs)
        # Some decoders end by giving their output the shape of their input.
        return F.pad(out, (0, 0, 0, tokens - kept)) if layer == depth - 1 else out

    try:
        with attention(model, "packed"), around_blocks(model, run):
            output = decoder_of(model)(
                input_ids=row.ids[None],
                position_ids=row.position_ids[None],
                use_cache=False,
                segments=row.lengths,
            )
    except _NothingAbove:
        return None
    final: Tensor = output.last_hidden_state[0, :kept]
    see(depth, final)
    return _of_first(final, row, texts_above)


def read_padded(
    model: Any,
    row: PackedRow,
    see: Seen,
    stop: int = 0,
    texts_above: int | None = None,
    checkpointing: bool = False,
    needed: Tensor | None = None,
) -> Tensor | None:
    """Read a row's texts as a padded batch to the end; ReadRow says what is shown and returned."""
    longest = max(row.lengths)
    lengths = torch.tensor(row.lengths, device=row.ids.device)
    mask = torch.arange(longest, device=row.ids.device) < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.long, device=row.ids.device)
    ids[mask] = row.ids

    def run(layer: int, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        see(layer, hidden[mask])
        return _forward(model, forward, checkpointing, hidden, *args, **kwargs)

    with around_blocks(model, run):
        output = decoder_of(model)(input_ids=ids, attention_mask=mask.long(), use_cache=False)
    final: Tensor = output.last_hidden_state[mask]
    see(len(decoder_blocks(model)), final)
    return _of_first(final, row, texts_above)


def _forward(model: Any, forward: Any, checkpointing: bool, *args: Any, **kwargs: Any) -> Any:
    """Run a block, or have it run again in the backward pass, with the attention of now."""
    if not (checkpointing and torch.is_grad_enabled()):
        return forward(*args, **kwargs)
    kind = config_of(model)._attn_implementation

    def again(*args: Any, **kwargs: Any) -> Any:
        with attention(model, kind):
            return forward(*args, **kwargs)

    return checkpoint(again, *args, use_reentrant=False, **kwargs)


def _forward_at(tokens: Tensor, forward: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
    """A block's output at tokens of the row [P], NaN elsewhere: [1, T, D].

    What comes before the attention is of all tokens; what comes after it, of those alone.
    """
    queries = Queries(tokens)
    try:
        return forward(hidden, *args, queries=queries, **kwargs)  # by an attention that is not ours
    except KeysKnown:
        args, kwargs = _cut((args, kwargs), hidden.shape[1], tokens)
        found = forward(hidden[:, tokens], *args, queries=queries, **kwargs)
    return torch.full_like(hidden, torch.nan).index_copy(1, tokens, found)


def _of_first(final: Tensor, row: PackedRow, texts: int | None) -> Tensor | None:
    """The tokens of the first texts; None where there are none."""
    if texts is None:
        return final
    return final[: sum(row.lengths[:texts])] if texts else None


class _NothingAbove(Exception):  # noqa: N818 - no error: how a forward pass ends early
    """Every text has been read as far as it is needed."""


def _cut(value: Any, tokens: int, kept: slice | Tensor) -> Any:
    """Whatever a block is given per token, for some tokens only."""
    match value:
        case Tensor() if value.ndim > 1 and value.shape[1] == tokens:
            return value[:, kept]
        case tuple():
            return tuple(_cut(item, tokens, kept) for item in value)
        case dict():
            return {name: _cut(item, tokens, kept) for name, item in value.items()}
    return value
