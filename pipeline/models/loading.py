"""The base model and its card: how it is saved, found and loaded, wherever it came from.

Its card, models/base.json, says what it is, with the digest of every file. Beside it, models/base
holds tokenizer and configuration, and the weights of a model that was trained here; others' weights
stay where they are, in the Hub's cache, in their folder, or in the cache of converted GGUF files,
and later stages read them there without a network.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import constants, try_to_load_from_cache
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pipeline.core.console import InputError
from pipeline.core.files import read_json, sha256_of, whole, write_json
from pipeline.core.sections import DType, Model
from pipeline.models import nf4
from pipeline.models.building import on_device
from pipeline.models.chat_frame import frame_of
from pipeline.models.fused_lora import fuse
from pipeline.models.peft_import import PeftModel
from pipeline.models.published import only
from pipeline.models.weights import LOCAL, read_weights


@dataclass(frozen=True)
class Origin:
    """Where a model came from; empty for one trained here.

    origin: a repository, with its 40-hex revision; packages with their versions; a folder or a
    file. gguf: the SHA-256 digest of the GGUF file that it was read from; quantisation: how many of
    that file's tensors are in which format; wheels: the digests of the wheels that held it.
    """

    origin: str = ""
    revision: str = ""
    gguf: str = ""
    quantisation: str = ""
    wheels: str = ""


@dataclass(frozen=True, kw_only=True)
class Card(Origin):
    """What the base model is.

    files: the SHA-256 digest and the size of every file of it. frame: what the chat template puts
    before a message, between it and the answer, and after the answer.
    """

    source: str
    dtype: DType
    architecture: str
    layers: int
    width: int
    vocabulary: int
    context: int
    frame: tuple[str, str, str]
    files: dict[str, dict[str, str | int]]


def save_trained(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Model
) -> Card:
    """Save a model that was trained here, and its card."""
    with whole(folder) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
    files = {path.name: digest_and_size(path) for path in sorted(folder.iterdir())}
    card = new_card(params, Origin(), model.config, tokenizer, files)
    write_card(folder, card)
    return card


def write_card(folder: Path, card: Card) -> None:
    """What only a GGUF file has is left out where there is none."""
    tree = dataclasses.asdict(card)
    for name in ("gguf", "quantisation", "wheels"):
        if not tree[name]:
            del tree[name]
    write_json(card_of(folder), tree)


def card_of(folder: Path) -> Path:
    return folder.with_suffix(".json")


def load_base(
    folder: Path, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The untouched model, in evaluation mode, and its tokenizer. Safetensors only, no code, no
    network. Raises InputError where a file of it is gone or has another size than its card says."""
    card = read_json(card_of(folder))
    with base_files(folder) as (clean, dtype):
        model = read_weights(clean, card["origin"] or folder, **_loading(dtype, device))
    nf4.keep_layout(model)
    return on_device(model, device).eval(), load_tokenizer(folder)


@contextmanager
def base_files(folder: Path) -> Iterator[tuple[Path, DType]]:
    """Within, a folder of the untouched model's files alone, and the dtype of its weights. Raises
    InputError where a file is gone or has another size than its card says."""
    card = read_json(card_of(folder))
    sizes = {name: file["size"] for name, file in card["files"].items()}
    cached = card["source"] != "path" or "gguf" in card
    home = _home(folder, card, next(iter(sizes)))
    for name, file in card["files"].items():
        if not _is_as_described(home / name, file, cached):
            raise InputError(
                f"{home / name} is not as {card_of(folder)} describes it; run "
                "`dvc repro --force base_model`"
            )
    with only(home, sizes) as clean:
        yield clean, card["dtype"]


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The base model's tokenizer alone."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, **LOCAL)
    return tokenizer


def load_variant(
    base: Path, adapter: Path, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with an adapter: merged into its weights where they are wide enough, since
    bfloat16 would round most of a small change away, and 4 bits all of it. Else beside them, and
    read as in the finetune."""
    model, tokenizer = load_base(base, device)
    adapted: Any = PeftModel.from_pretrained(model, adapter, local_files_only=True)
    if model.dtype == torch.float32:
        return adapted.merge_and_unload().eval(), tokenizer
    fuse(adapted)
    return adapted.eval(), tokenizer


def load_merged(
    base: Path, adapter: Path, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model with an adapter merged into its weights, so that another one can lie on them:
    in float32, whatever the base model's dtype. Of 4 bits, there is no such model."""
    model, tokenizer = load_base(base, device)
    adapted: Any = PeftModel.from_pretrained(model.float(), adapter, local_files_only=True)
    return adapted.merge_and_unload().eval(), tokenizer


def _loading(dtype: DType, device: torch.device) -> dict[str, Any]:
    return nf4.loading(device) if dtype == "nf4" else {"dtype": getattr(torch, dtype)}


def _is_as_described(path: Path, file: Mapping[str, Any], cached: bool) -> bool:
    """Whether a file is there and whole. A folder of the user's may hold another model of the same
    size by now, so that its files are hashed every time; a cache never changes a file."""
    if not path.is_file() or path.stat().st_size != file["size"]:
        return False
    return cached or sha256_of(path) == file["sha256"]


def _home(folder: Path, card: Mapping[str, Any], name: str) -> Path:
    """Where the base model's own files lie on this machine."""
    if "gguf" in card:
        return folder_of(card["gguf"])
    match card["source"]:
        case "hub":
            found = try_to_load_from_cache(card["origin"], name, revision=card["revision"])
            if not isinstance(found, str):
                raise InputError(
                    f"{card['origin']}@{card['revision'][:12]} is not in the Hub's cache of this "
                    "machine; run `dvc repro --force base_model`"
                )
            return Path(found).parent
        case "path":
            return Path(card["origin"])
    return folder


def folder_of(sha256: str) -> Path:
    """Where a GGUF file's converted model lies on this machine, if it was ever made."""
    cache = Path(constants.HF_HUB_CACHE).expanduser().resolve()
    return cache.with_name("converted-gguf") / f"{sha256}-transformers-{transformers.__version__}"


def digest_and_size(path: Path) -> tuple[str, int]:
    """A file's SHA-256 digest and its size in bytes."""
    return sha256_of(path), path.stat().st_size


def new_card(
    params: Model,
    origin: Origin,
    config: Any,
    tokenizer: PreTrainedTokenizerBase,
    files: Mapping[str, tuple[str, int]],
) -> Card:
    decoder = config.get_text_config(decoder=True)
    return Card(
        **dataclasses.asdict(origin),
        source=params.source,
        dtype=params.dtype,
        architecture=(config.architectures or [type(config).__name__])[0],
        layers=decoder.num_hidden_layers,
        width=decoder.hidden_size,
        vocabulary=decoder.vocab_size,
        context=decoder.max_position_embeddings,
        frame=frame_of(tokenizer).parts,
        files={name: {"sha256": digest, "size": size} for name, (digest, size) in files.items()},
    )
