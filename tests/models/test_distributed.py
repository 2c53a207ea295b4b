"""Two processes make the step that one makes with the double batch, and read what one reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.models import distributed
from pipeline.models.encoding import Encoder
from pipeline.models.launching import launched
from pipeline.models.loading import save_trained
from tests.support.dag import ROOT
from tests.support.ranks_worker import work


@pytest.fixture
def alone(
    tmp_path: Path, model: PreTrainedModel, encoder: Encoder, params: Params
) -> dict[str, Tensor]:
    save_trained(tmp_path / "base", model, encoder.tokenizer, params.model)
    found = work(tmp_path, sharded=False)
    for kept in ("state", "reading"):
        (tmp_path / kept).unlink()
    return found


@pytest.mark.parametrize("mode", ["replicated", "sharded"])
def test_two_ranks_equal_one_process(tmp_path: Path, alone: dict[str, Tensor], mode: str) -> None:
    """Negatives are gathered with gradient, means are over all tokens; `sharded` is FSDP2. The
    ranks' adapter is saved whole, and their run goes on from what it kept."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "tests.support.ranks_worker", str(tmp_path), mode]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = load_file(tmp_path / "found")
    assert found.keys() == alone.keys()
    saved = load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert len(saved) == sum(name.startswith("weight.") for name in alone)
    for name, expected in alone.items():
        assert float((found[name] - expected).norm()) <= 1e-5 * float(expected.norm()), name


def test_one_process_is_the_only_rank() -> None:
    values = torch.ones(2, 3, requires_grad=True)
    assert distributed.gather(values) is values
    assert distributed.mean_count(7, values.device) == 7
    assert distributed.share([1, 2, 3], "things") == [1, 2, 3]
    assert distributed.is_first()
    assert distributed.deal([1, 2, 3]) == [1, 2, 3]
    assert distributed.from_first(values) is values
    assert distributed.at_first(1) == [1]
    assert distributed.union({"a": 1}) == {"a": 1}
    assert not launched("stages.adapters", "base", processes=1)


def test_texts_that_ranks_do_not_divide_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "count", lambda: 2)
    with pytest.raises(InputError, match="things is 3, which 2 processes do not divide"):
        distributed.share([1, 2, 3], "things")
