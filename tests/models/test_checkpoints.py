"""A state is taken up by the run that kept it, and by no other."""

import shutil
from pathlib import Path

import pytest
import torch

from pipeline.core import imports
from pipeline.core.params import Params
from pipeline.models import checkpoints, distributed
from pipeline.models.checkpoints import Checkpoint, run_key
from tests.support.dag import ROOT


def test_a_damaged_state_is_no_state(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", "key", every=1)
    assert checkpoint.load() is None
    checkpoint.save({"x": torch.ones(3)}, {"done": 1})
    assert checkpoint.load() is not None
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:-5])
    assert checkpoint.load() is None


def test_whatever_decides_the_result_names_the_run(tmp_path: Path, params: Params) -> None:
    text = tmp_path / "pairs.jsonl"
    text.write_text("one", encoding="utf-8")
    cpu = torch.device("cpu")
    key = run_key("adapters", 0, [params.finetune], [text], cpu)
    assert key == run_key("adapters", 0, [params.finetune], [text], cpu)
    other = params.finetune.model_copy(update={"temperature": 0.2})
    assert run_key("adapters", 0, [other], [text], cpu) != key
    assert run_key("adapters", 1, [params.finetune], [text], cpu) != key
    assert run_key("adapters", 0, [params.finetune], [text], torch.device("meta")) != key
    text.write_text("two", encoding="utf-8")
    assert run_key("adapters", 0, [params.finetune], [text], cpu) != key


def test_a_run_is_named_by_the_code_it_reaches_and_by_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pipeline", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package)
    monkeypatch.setattr(checkpoints, "ROOT", tmp_path)
    monkeypatch.setattr(imports, "ROOT", tmp_path)

    def key() -> str:
        return run_key("adapters", 0, [], [], torch.device("cpu"))

    def edit(path: str) -> None:
        assert (ROOT / path).is_file()
        with (tmp_path / path).open("a", encoding="utf-8") as code:
            code.write("# changed\n")

    first = key()
    for path in (
        "pipeline/reporting/figures.py",
        "pipeline/training/pretraining.py",
        "pipeline/inference/generation.py",
        "stages/representations.py",
    ):
        edit(path)
        assert key() == first, f"{path} decides nothing of a finetune"
    keys = {first}
    for path in (
        "stages/adapters.py",
        "pipeline/training/losses.py",
        "pipeline/models/__init__.py",
    ):
        edit(path)
        keys.add(key())
    monkeypatch.setattr(checkpoints, "version", lambda name: "another")
    keys.add(key())
    monkeypatch.setattr(distributed, "count", lambda: 2)
    keys.add(key())
    assert len(keys) == 6
