"""Where every stage of several ranks begins: all of them run the same code, with the same params,
and read the first rank's inputs, whether their nodes share a working folder or not."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import torch

from pipeline.core.files import read_json, remove, sha256_of, whole
from pipeline.core.imports import ROOT, reached
from pipeline.core.params import Params
from pipeline.core.paths import BASE_CARD
from pipeline.models import distributed
from pipeline.models.building import prepare
from pipeline.models.checkpoints import CHECKPOINT_LIBRARIES
from pipeline.models.meeting import agree, rank_here, say_stage

OF_A_NODE = {"threads", "processes", "log"}  # knobs of runtime that nodes may differ in
RECEIVED = Path("work/nodes")  # inputs that a node's own working folder lacks
PIECE = 2**26  # bytes of a file that are sent at once


def begin(stage: str, argument: str, params: Params, inputs: Sequence[Path]) -> torch.device:
    """Make this process ready to work on a stage, alone or as one of several ranks; gives its
    device.

    inputs: the files and folders that the stage reads. A node whose own are not the first rank's
    gets those, and works on in a folder below `work/` from then on: its working folder stays as it
    is. Raises InputError where a rank is missing, or runs other code, params or libraries.
    """
    device = prepare(params.runtime)
    if rank_here() is None:
        return device
    say_stage(stage, argument)
    params_here = params.model_dump(mode="json")
    for knob in OF_A_NODE:
        del params_here["runtime"][knob]
    agree(
        {
            "stage": {stage: argument},
            "params": dict(_leaves(params_here)),
            "code": {
                path.as_posix(): sha256_of(ROOT / path)
                for path in reached(Path("stages", f"{stage}.py"))
            },
            "library": {name: version(name) for name in CHECKPOINT_LIBRARIES},
        }
    )
    device = distributed.join(device)
    _take_first_inputs(inputs)
    return device


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every knob by its dotted name, as it would be written."""
    if isinstance(tree, dict):
        for name, below in tree.items():
            yield from _leaves(below, f"{path}.{name}".lstrip("."))
    else:
        yield path, str(tree)


def _take_first_inputs(inputs: Sequence[Path]) -> None:
    """Have every node read what the first rank reads: where its own files are others, in a folder
    of its own, to which those that are not there yet are sent."""
    here = rank_here()
    assert here is not None
    own = [*inputs, *_base_folder()] if distributed.is_first() else []
    wanted = distributed.from_first(_digests(own))
    is_same = _digests(distributed.from_first(own)) == wanted
    folder = RECEIVED / str(here.node)
    receives = not is_same and here.local == 0
    lacking = _kept_in_step(folder, wanted) if receives else []
    for path in sorted(distributed.union(dict.fromkeys(lacking))):
        _send(path, folder / path if path in lacking else None)
    distributed.wait()
    if not is_same:
        folder.mkdir(parents=True, exist_ok=True)  # of no inputs at all
        os.chdir(folder)


def _base_folder() -> list[Path]:
    """The files of a base model that is read where the user keeps it, below the working folder."""
    card = read_json(BASE_CARD) if BASE_CARD.is_file() else {}
    home = Path(card.get("origin", ""))
    if card.get("source") != "path" or "gguf" in card or home.is_absolute() or ".." in home.parts:
        return []
    return [home / name for name in card["files"]]


def _digests(inputs: Sequence[Path], folder: Path = Path()) -> dict[Path, str]:
    """The digest of every file among inputs or below them, which lie in a folder; by its path."""
    files = [
        file
        for given in inputs
        for file in (folder / given, *sorted((folder / given).rglob("*")))
        if file.is_file()
    ]
    return {file.relative_to(folder): sha256_of(file) for file in files}


def _kept_in_step(folder: Path, wanted: dict[Path, str]) -> list[Path]:
    """Remove what a node was once sent and is not wanted as it is; gives what has to be sent."""
    held = _digests([Path()], folder)
    for path, digest in held.items():
        if wanted.get(path) != digest:
            remove(folder / path)
    return [path for path, digest in wanted.items() if held.get(path) != digest]


def _send(path: Path, into: Path | None) -> None:
    """Send a file from the first rank to those that give a path for it. All ranks take part."""
    with ExitStack() as opened:
        source = opened.enter_context(path.open("rb")) if distributed.is_first() else None
        target = (
            opened.enter_context(opened.enter_context(whole(into)).open("wb")) if into else None
        )
        while piece := distributed.from_first(source.read(PIECE) if source else b""):
            if target:
                target.write(piece)
