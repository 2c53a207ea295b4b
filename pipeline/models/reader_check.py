"""Which way of reading rows gives a model's own states and logits: tried, not assumed."""

import warnings
from typing import Any

import torch
from torch import Tensor

from pipeline.core.console import InputError, is_out_of_memory
from pipeline.core.finite import not_finite
from pipeline.models.encoding import Encoded
from pipeline.models.hooks import config_of, decoder_of
from pipeline.models.logits import logits_of
from pipeline.models.packing import PackedRow, ReadRow, pack, read_padded, read_row

UNREADABLE = "is no decoder that can be read layer by layer here; choose one of another family"


def reader_for(model: Any, longest: int) -> ReadRow:
    """How this model reads rows: packed, or, with a warning, as a padded batch where packing
    would let one text change another.

    longest: the most tokens that a text will have. A few texts, one of them longer than the
    model's attention window where texts can be, are read both ways, so that no architecture is
    taken at its word. Raises InputError where neither way gives the model's own states and logits;
    where memory runs out, which says nothing of the architecture, the error that says so.
    """
    try:
        return _reader_for(model, longest)
    except (InputError, Warning):
        raise
    except Exception as error:  # whatever an unknown architecture makes of a forward
        if is_out_of_memory(error):
            raise
        raise InputError(f"{type(model).__name__} {UNREADABLE}") from None


def _reader_for(model: Any, longest: int) -> ReadRow:
    name, config = type(decoder_of(model)).__name__, config_of(model)
    window = _window_of(config) or longest
    lengths = (5, 3, window + 2) if window < longest else (5, 3)
    _refuse_shifting_rotations(name, config, longest)
    _refuse_chosen_tokens(name, config, longest)
    texts = [_any_text(length, config.vocab_size) for length in lengths]
    with torch.no_grad():
        alone = [_read_alone(model, pack([text], model.device).ids) for text in texts]
        expected = torch.cat([states for states, _ in alone], dim=1)
        damaged = ~torch.isfinite(expected).all(-1)  # [layers, T]
        if damaged.any():
            layer = int(damaged.any(1).long().argmax())
            raise not_finite("a text of a few token ids", f"its states at layer {layer}")
        without = torch.cat([logits for _, logits in alone]).isnan().any(0)  # [V]
        if without.any():
            raise not_finite(
                "a text of a few token ids", f"logits of token {int(without.long().argmax())}"
            )
        row = pack(texts, model.device)
        for read in (read_row, read_padded):
            final = _final_states(read, model, row, expected)
            if final is None:
                continue
            logits = logits_of(model, final).to(final.dtype)  # no more precise than the states
            if not _alike(logits, torch.cat([logits for _, logits in alone])):
                raise InputError(
                    f"{name}: its logits are not made of its last states alone; choose a model of "
                    "another family"
                )
            if read is read_padded:
                warnings.warn(f"{name} cannot read packed rows; batches are padded", stacklevel=3)
            return read
    raise InputError(f"{name} {UNREADABLE}")


def _window_of(config: Any) -> int | None:
    """How many tokens a windowed block looks back at most; in Llama 4, those of its chunk."""
    return getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None)


def _any_text(length: int, vocabulary: int) -> Encoded:
    ids = tuple((7 * length + 3 * index) % vocabulary for index in range(length))
    return Encoded(ids, 0, length - 1)


def _refuse_shifting_rotations(name: str, config: Any, longest: int) -> None:
    """Some rotary embeddings change for a whole batch when one of its texts is long."""
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    own: int = getattr(config, "max_position_embeddings", longest)
    trained = rope.get("original_max_position_embeddings") or own
    if rope.get("rope_type") in ("dynamic", "longrope") and longest > trained:
        raise InputError(
            f"{name} turns other texts' positions when one has more than {trained} tokens; lower "
            f"text.prompt_tokens or text.response_tokens, which allow {longest}"
        )


def _refuse_chosen_tokens(name: str, config: Any, longest: int) -> None:
    """Attention to a chosen few tokens chooses among equal scores by chance: by the batch."""
    chosen: int | None = getattr(config, "index_topk", None)
    if chosen and chosen < longest:
        raise InputError(
            f"{name} attends to {chosen} chosen tokens of a longer text, which depend on what is "
            f"read beside; lower text.prompt_tokens or text.response_tokens, which allow {longest}"
        )


def _read_alone(model: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """One text as the model itself reads it: states [layers, T, D] and logits [T, V]."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    output = inner(input_ids=ids[None], output_hidden_states=True, use_cache=False)
    return torch.stack(output.hidden_states)[:, 0], output.logits[0].float()


def _final_states(read: ReadRow, model: Any, row: PackedRow, expected: Tensor) -> Tensor | None:
    """The final states [T, D] of a row by this way of reading; None where it cannot read the model,
    or gives other states [layers, T, D] than expected, also where it ends early."""
    states: dict[int, Tensor] = {}
    narrow: dict[int, Tensor] = {}
    try:
        final = read(model, row, states.__setitem__)
        one = read(model, row, lambda *_: None, stop=1, texts_above=1)
        read(model, row, narrow.__setitem__, stop=1, texts_above=0, needed=row.last)
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        return None
    as_expected = (
        final is not None
        and one is not None
        and _alike(torch.stack(list(states.values())), expected)
        and _alike(one, expected[-1, : row.lengths[0]])
        and _alike(narrow[1][row.last], expected[1, row.last])
    )
    return final if as_expected else None


def _alike(found: Tensor, expected: Tensor) -> bool:
    precise = found.dtype in (torch.float32, torch.float64)
    gap = (found - expected).float().norm() / expected.float().norm()
    return bool(gap < (1e-4 if precise else 5e-2))
