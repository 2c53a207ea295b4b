"""What a publisher's files may decide of a model, and what they may not.

They say what the model is: its shape, its weights, its tokens, its chat template, and which tokens
end an answer. How attention is computed, by whose kernels, how answers are sampled, and what is
switched on beside, is the project's choice alone. Their sizes are held against their weights before
a library believes them.
"""

import json
import math
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError, is_out_of_memory, one_line
from pipeline.core.files import read_json
from pipeline.models.encoding import Encoder

CONFIG, GENERATION = "config.json", "generation_config.json"
NOT_THEIRS = re.compile(
    r"_?(attn|experts)_implementation\w*"
    r"|id2label|label2id|num_labels|problem_type"  # of a classifier: a library would draw them up
    r"|output_\w+|return_dict|use_return_dict|torchscript"
    r"|do_sample|temperature|top_k|top_p|typical_p|\w*penalty|no_repeat_ngram_size|num_beams"
    r"|(begin_)?suppress_tokens|bad_words_ids|forced_\w+|min_length|max_length|num_return_sequences"
)
LAYERS = re.compile(r"(num_|n_)?(hidden_|decoder_|encoder_)?layers?")
SIZE = re.compile(r"vocab_size|hidden_size|intermediate_size|n_embd|d_model|\w*(heads?|experts)")


class UnsoundError(ValueError):
    """What a publisher's files say that cannot be; a part of one line."""


@contextmanager
def only(home: Path, names: Iterable[str]) -> Iterator[Path]:
    """A folder of links to these files alone: whatever else lies beside them (code, an adapter
    that names another model) is not there for a library to find. Of its configurations, it holds
    what a publisher may decide."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder) / name
            if name == CONFIG:
                path.write_text(json.dumps(theirs(read_json(home / name))), encoding="utf-8")
            elif name == GENERATION:
                ends = ends_in(read_json(home / name))
                if ends is not None:
                    path.write_text(json.dumps({"eos_token_id": ends}), encoding="utf-8")
            else:
                path.symlink_to((home / name).resolve())
        yield Path(folder)


def theirs(config: Any) -> Any:
    """A config without what is not its publisher's to decide, at any depth."""
    if isinstance(config, list):
        return [theirs(item) for item in config]
    if not isinstance(config, dict):
        return config
    kept = {name: theirs(value) for name, value in config.items() if not NOT_THEIRS.fullmatch(name)}
    named = kept.get("architectures")
    if not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        kept.pop("architectures", None)
    return kept


def ends_in(generation: Any) -> list[int] | None:
    """The tokens that end an answer, which is all that is read of a generation config."""
    found = generation.get("eos_token_id") if isinstance(generation, dict) else None
    listed = found if isinstance(found, list) else [found]
    tokens = [token for token in listed if isinstance(token, int) and not isinstance(token, bool)]
    return tokens or None


def check_config(config: Any, weights: Iterable[Path]) -> None:
    """Raises UnsoundError for a config that no such weights can have, or whose weights are
    quantised in a way of another library."""
    if not isinstance(config, dict):
        raise UnsoundError(f"{CONFIG} holds no settings by name")
    tensors, size = _extent(weights)
    for path, value in _leaves(config):
        name = path.rpartition(".")[2]
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        bound = tensors if LAYERS.fullmatch(name) else size if SIZE.fullmatch(name) else math.inf
        if value > bound:
            raise UnsoundError(
                f"{path} is {value}, and the weights have {tensors} tensors of {size} bytes"
            )
    for path in ("quantization_config", "compression_config"):
        found = next((part[path] for part in _sections(config) if part.get(path)), None)
        if found is not None:
            method = found.get("quant_method") if isinstance(found, dict) else None
            raise UnsoundError(
                f"its weights are quantised ({method or path}), which only GGUF files may be"
            )


def _extent(weights: Iterable[Path]) -> tuple[int, int]:
    """How many tensors safetensors files name in their headers, and the bytes of the files."""
    tensors = size = 0
    for path in weights:
        size += path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            tensors += len(json.loads(file.read(min(length, path.stat().st_size))))
    return tensors, size


def _sections(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from _sections(value)


def _leaves(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(config, dict):
        yield path, config
        return
    for name, value in config.items():
        yield from _leaves(value, f"{path}.{name}" if path else name)


def check_shape(decoder: Any) -> None:
    """Raises UnsoundError for a decoder's config without a sensible size."""
    for name in ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings"):
        value = getattr(decoder, name, None)
        if not isinstance(value, int) or value < 1:
            raise UnsoundError(f"{name} is {value!r}, where a number from 1 is needed")


def check_tokens(decoder: Any, ends: Iterable[int], encoder: Encoder) -> None:
    """Raises UnsoundError where a text may have a token without an embedding, or end in one.

    Control tokens are none of a text's: a family of several models may share a tokenizer that has
    some for pictures.
    """
    size, tokenizer = decoder.vocab_size, encoder.tokenizer
    control = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = [*tokenizer.get_vocab().values()]
    if not ids:
        raise UnsoundError("its tokenizer has an empty vocabulary")
    frame = [*encoder("x", "x").ids, *encoder.end, encoder.pad]
    for token in (max(id for id in ids if id not in control), *frame, *ends):
        if not 0 <= token < size:
            name = tokenizer.convert_ids_to_tokens(token) if 0 <= token <= max(ids) else None
            raise UnsoundError(
                f"it uses token {token} ({name!r}), and the model embeds {size} tokens"
            )


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Within, whatever a publisher's files make of a library becomes one line about the model of
    this name. Nothing else is printed, a panic of Rust's either."""
    with _silence():
        try:
            yield
        except InputError:
            raise
        except UnsoundError as fault:
            raise InputError(f"{name} cannot be read: {fault}; choose another model") from None
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # no Exception
                error = RuntimeError(str(error))
            if not isinstance(error, Exception) or is_out_of_memory(error):
                raise
            raise InputError(
                f"{name} cannot be read without running its publisher's code or is damaged "
                f"({one_line(error)}); choose another model"
            ) from None


@contextmanager
def _silence() -> Iterator[None]:
    """Within, nothing reaches stderr, whoever writes it."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - no path of a file
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
