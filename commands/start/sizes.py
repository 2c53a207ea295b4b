"""How large a model is, before it is adopted, and what this machine has for it."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch

from commands.start.fitting import Machine, ModelSize
from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.sections import Model
from pipeline.hub.fetch import fetch
from pipeline.hub.listing import listing
from pipeline.hub.revision import Revision
from pipeline.models.loading import folder_of
from pipeline.models.published import CONFIG

# What families call them; most are as Llama.
BLOCKS = ("num_hidden_layers", "n_layer", "num_layers", "block_count")
WIDTHS = ("hidden_size", "n_embd", "d_model", "embedding_length")
CONTEXTS = ("max_position_embeddings", "n_positions", "n_ctx", "context_length")
HALF = ("bfloat16", "float16")
FACTS_OF_16_BITS = {"amx_bf16", "avx512_bf16", "bf16"}  # flags of processors that multiply it
TIMED, SECONDS = 1024, 0.2  # rows of the matrices that are multiplied, and for how long
ACHIEVED = 0.4  # of that speed, in a model


def size_of(model: Model, deepest: int) -> ModelSize:
    """The size of the model that params name: from its configuration, where that is here or on the
    Hub; of a package that is not here yet, from its name and the deepest layer that params read.

    Raises InputError where neither says it.
    """
    match model.source:
        case "embedded":
            own = model.embedded
            a_block = 4 * own.width**2 + 3 * own.width * own.feed_forward
            weights = own.layers * a_block + own.vocabulary * own.width
            return ModelSize(own.layers, own.width, weights, own.context)
        case "hub":
            config = fetch(model.hub.repo, [CONFIG], model.hub.revision, "model")[CONFIG].path
            sizes = listing(Revision(model.hub.repo, model.hub.revision, "model"))
            return _of_config(read_json(config), _weights_in(sizes))
        case "package":
            made = folder_of(model.package.sha256)
            if (made / CONFIG).is_file():
                return _of_folder(made)
            return _by_name(model.package.parts[0].member, deepest)
    location = Path(model.path.location)
    return _of_gguf(location) if location.suffix.lower() == ".gguf" else _of_folder(location)


def _of_folder(folder: Path) -> ModelSize:
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} holds no {CONFIG}; name a folder that save_pretrained wrote")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    return _of_config(read_json(folder / CONFIG), _weights_in(sizes))


def _weights_in(sizes: Mapping[str, int]) -> int:
    return sum(size for name, size in sizes.items() if name.endswith(".safetensors"))


def _of_config(config: Mapping[str, Any], weight_bytes: int) -> ModelSize:
    """weight_bytes: of all files of weights, with numbers as wide as the configuration says."""
    decoder = config.get("text_config", config)
    said = str(decoder.get("dtype", decoder.get("torch_dtype", config.get("torch_dtype"))))
    wide = 2 if said in HALF else 4
    return ModelSize(
        _first(decoder, BLOCKS), _first(decoder, WIDTHS), weight_bytes // wide,
        _first(decoder, CONTEXTS),
    )  # fmt: skip


def _first(facts: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if isinstance(facts.get(name), int):
            return int(facts[name])
    raise InputError(f"the model's configuration has no {names[0]}; choose another model")


def _of_gguf(path: Path) -> ModelSize:
    import gguf

    reader = gguf.GGUFReader(path)
    facts = {
        name.rpartition(".")[2]: int(field.contents())
        for name in reader.fields
        if name.endswith((BLOCKS[-1], WIDTHS[-1], CONTEXTS[-1])) and (field := reader.fields[name])
    }
    weights = sum(int(tensor.n_elements) for tensor in reader.tensors)
    return ModelSize(_first(facts, BLOCKS), _first(facts, WIDTHS), weights, _first(facts, CONTEXTS))


def _by_name(name: str, blocks: int) -> ModelSize:
    """From a name like SmolLM2-135M."""
    found = re.search(r"(\d+(?:\.\d+)?)([MB])(?![a-z])", name, re.I)
    if not found:
        raise InputError(f"model.package: {name} does not say how large it is; adopt it first")
    weights = float(found[1]) * {"m": 1e6, "b": 1e9}[found[2].lower()]
    return ModelSize(blocks, round((weights / blocks / 12) ** 0.5), int(weights), 2048)


def machine_of(device: str) -> Machine:
    """What a device of this machine has: its memory, and its speed, which is measured in a moment.

    Raises InputError where there is no such device.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(
            f"torch finds no device {device} here; choose cpu, or install a torch build for it"
        ) from None
    if device.startswith("cuda"):
        memory = float(torch.cuda.mem_get_info(torch.device(device))[0])
        has_bfloat16 = torch.cuda.is_bf16_supported()
    else:
        memory = float(psutil.virtual_memory().available)
        has_bfloat16 = device == "cpu" and bool(_flags() & FACTS_OF_16_BITS)
    return Machine(device, _cores(), memory, _speed(device, has_bfloat16), has_bfloat16)


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _cores() -> int:
    with suppress(AttributeError, OSError):
        return len(psutil.Process().cpu_affinity() or [0])
    return psutil.cpu_count(logical=False) or 1


def _flags() -> set[str]:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return set(line.partition(":")[2].split())
    return set()


def _speed(device: str, has_bfloat16: bool) -> float:
    """Operations a second that a model may reach."""
    wide = torch.bfloat16 if has_bfloat16 else torch.float32
    matrix = torch.ones(TIMED, TIMED, device=device, dtype=wide)
    times, started = 0, perf_counter()
    while times < 2 or perf_counter() - started < SECONDS:
        float((matrix @ matrix)[0, 0])  # reading it waits for a card
        times += 1
    return ACHIEVED * times * 2 * TIMED**3 / (perf_counter() - started)
