"""Learning curves are logged point by point, for whoever watches, and decide nothing."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.console import InputError
from pipeline.training import curve_log
from pipeline.training.curve_log import LIBRARIES, logging_curve
from pipeline.training.finetuning import CurvePoint

CURVE = [CurvePoint(step, 1.0 / step, 0, 0.25, 0, 2, 0.5 + step, 0) for step in (10, 20, 30)]
NUMBERS = {"contrast", "retain", "penalty", "response", "gradient_norm", "gap", "kl"}


class Library:
    """Stands in for any of the libraries, and remembers what it was told."""

    def __init__(self) -> None:
        self.opened: list[dict[str, Any]] = []
        self.said: list[tuple[str, float, int]] = []
        self.ended = 0
        self.step = 0

    def open(self, **settings: Any) -> "Library":
        self.opened.append(settings)
        return self

    Live = SummaryWriter = init = open

    def log_metric(self, name: str, value: float) -> None:
        self.said.append((name, value, self.step))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.said.append((name, value, step))

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.said += [(name, value, step) for name, value in numbers.items()]

    def end(self) -> None:
        self.ended += 1

    close = finish = end

    def sync(self) -> None:
        """What is logged is there at once."""

    flush = sync


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    monkeypatch.setattr(curve_log, "_library", lambda _: found)
    return found


@pytest.mark.parametrize("kind", LIBRARIES)
def test_every_point_is_logged_once_however_the_curve_grows(
    kind: Any, library: Library, tmp_path: Path
) -> None:
    with logging_curve(kind, tmp_path / "log", "supcon") as grow:
        grow(CURVE[:2])  # as a run does that goes on from a checkpoint
        grow(CURVE)
        assert not library.ended
    assert library.ended == 1
    assert {name for name, _, _ in library.said} == NUMBERS
    assert len(library.said) == len(CURVE) * len(NUMBERS)
    assert [(v, s) for n, v, s in library.said if n == "gap"] == [
        (10.5, 10),
        (20.5, 20),
        (30.5, 30),
    ]


def test_dvclive_makes_no_experiment_and_leaves_dvc_yaml_alone(
    library: Library, tmp_path: Path
) -> None:
    with logging_curve("dvclive", tmp_path / "log", "supcon"):
        pass
    (settings,) = library.opened
    assert (settings["dvcyaml"], settings["save_dvc_exp"]) == (False, False)


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_log_is_closed_where_the_run_fails(kind: Any, library: Library, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="diverges"),
        logging_curve(kind, tmp_path / "log", "supcon"),
    ):
        raise InputError("the loss diverges")
    assert library.ended == 1


def test_an_earlier_log_of_the_variant_is_gone(library: Library, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/old").write_text("old", encoding="utf-8")
    with logging_curve("tensorboard", tmp_path / "log", "supcon"):
        assert not list((tmp_path / "log").iterdir())


def test_by_default_nothing_is_imported_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imported(name: str) -> None:
        pytest.fail(name)

    monkeypatch.setattr(importlib, "import_module", imported)
    with logging_curve("none", tmp_path / "log", "supcon") as grow:
        grow(CURVE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_library_that_is_not_installed_is_one_line(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    message = f"runtime.log is {kind}, which is not installed; pip install"
    with pytest.raises(InputError, match=message), logging_curve(kind, tmp_path / "log", "supcon"):
        pass
    assert not list(tmp_path.iterdir())


def test_dvclive_itself_writes_the_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dvclive", reason="pip install '.[curves]'")
    monkeypatch.chdir(tmp_path)
    with logging_curve("dvclive", tmp_path / "log", "supcon") as grow:
        grow(CURVE)
    table = (tmp_path / "log/plots/metrics/gap.tsv").read_text(encoding="utf-8").split()
    assert table[table.index("gap") + 1 :] == ["10", "10.5", "20", "20.5", "30", "30.5"]
    last = json.loads((tmp_path / "log/metrics.json").read_text(encoding="utf-8"))
    assert (last["step"], last["gap"]) == (30, 30.5)
    assert {path.name for path in tmp_path.iterdir()} == {"log"}, "no dvc.yaml, no experiment"


def test_tensorboard_itself_reads_the_curve(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install '.[curves]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with logging_curve("tensorboard", tmp_path / "log", "supcon") as grow:
        grow(CURVE)
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == NUMBERS
    assert [(point.step, point.value) for point in events.Scalars("gap")] == [
        (10, 10.5), (20, 20.5), (30, 30.5),
    ]  # fmt: skip


def test_wandb_itself_takes_the_curve_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="pip install '.[curves]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with logging_curve("wandb", tmp_path / "log", "supcon") as grow:
        grow(CURVE)
    assert list((tmp_path / "log").rglob("*.wandb"))
