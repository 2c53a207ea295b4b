"""Saved monitors are taken home as they are."""

from pathlib import Path

import numpy as np
import pytest

from commands.export.monitors import export_monitors
from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.paths import MONITORS
from pipeline.monitors.saved import TENSORS, load_monitor
from tests.commands.export.conftest import VARIANT


def test_every_saved_monitor_is_there_and_the_same(finished: Params, tmp_path: Path) -> None:
    export_monitors(VARIANT, tmp_path / "home")
    assert {path.name for path in (tmp_path / "home").iterdir()} == {
        "README.md", "mean.json", "mean.safetensors", "prompt_end.json", "prompt_end.safetensors",
    }  # fmt: skip
    for name in ("mean", "prompt_end"):
        taken, own = (
            load_monitor(folder / f"{name}.json")
            for folder in (tmp_path / "home", MONITORS / VARIANT)
        )
        assert taken.threshold == own.threshold
        assert all(np.array_equal(getattr(taken, key), getattr(own, key)) for key in TENSORS)


def test_a_damaged_monitor_is_not_handed_on(finished: Params, tmp_path: Path) -> None:
    (MONITORS / VARIANT / "mean.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="is damaged"):
        export_monitors(VARIANT, tmp_path / "home")
    assert not (tmp_path / "home").exists()
