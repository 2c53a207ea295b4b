"""Learning curves as they grow, for the tools that people watch runs with; by default for none.

What a run keeps is its table (`write_curve`), which DVC follows. This is beside it, in a folder
that git ignores, or at Weights & Biases, and decides nothing.
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError
from pipeline.core.files import remove
from pipeline.core.sections import CurveLog
from pipeline.training.finetuning import CurvePoint

PROJECT = "legible-models"  # what Weights & Biases files runs under
LIBRARIES = {"dvclive": "dvclive", "tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}

Log = Callable[[int, Mapping[str, float]], object]  # takes a step and its numbers


@contextmanager
def logging_curve(
    kind: CurveLog, folder: Path, variant: str
) -> Iterator[Callable[[Sequence[CurvePoint]], None]]:
    """Within, a function that takes the learning curve whenever it has grown, and logs its new
    points; the first time it also gets those of the run that a checkpoint goes on from.

    folder: what an earlier run of the variant logged there is removed. Raises InputError where the
    library is not installed.
    """
    if kind == "none":
        yield lambda curve: None
        return
    library = _library(kind)
    remove(folder)
    folder.mkdir(parents=True)
    log, close = _OPEN[kind](library, folder, variant)
    logged = 0

    def grow(curve: Sequence[CurvePoint]) -> None:
        nonlocal logged
        for point in curve[logged:]:
            numbers = dataclasses.asdict(point)
            log(numbers.pop("step"), numbers)
        logged = len(curve)

    try:
        yield grow
    finally:
        close()


def _library(kind: str) -> Any:
    try:
        return importlib.import_module(LIBRARIES[kind])
    except ImportError:
        raise InputError(
            f"params.yaml: runtime.log is {kind}, which is not installed; pip install '.[curves]' "
            "or set none"
        ) from None


def _dvclive(library: Any, folder: Path, _: str) -> tuple[Log, Callable[[], object]]:
    """Files alone: DVCLive would write into dvc.yaml, and make an experiment of its own."""
    live = library.Live(dir=str(folder), dvcyaml=False, save_dvc_exp=False, report=None)

    def log(step: int, numbers: Mapping[str, float]) -> None:
        live.step = step
        for name, value in numbers.items():
            live.log_metric(name, value)
        live.sync()

    return log, live.end


def _tensorboard(library: Any, folder: Path, _: str) -> tuple[Log, Callable[[], object]]:
    writer = library.SummaryWriter(log_dir=str(folder))

    def log(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log, writer.close


def _wandb(library: Any, folder: Path, variant: str) -> tuple[Log, Callable[[], object]]:
    run = library.init(project=PROJECT, name=variant, dir=str(folder))
    return lambda step, numbers: run.log(dict(numbers), step=step), run.finish


_OPEN: Mapping[str, Callable[[Any, Path, str], tuple[Log, Callable[[], object]]]] = {
    "dvclive": _dvclive,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
