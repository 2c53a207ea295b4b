"""Whether one row of ids may become many rows of vectors."""

import pytest
import torch

from pipeline.selfie import decoding
from pipeline.selfie.any_decoder import Injection
from pipeline.selfie.decoding import can_widen
from tests.support.families import family

INJECTION = Injection(1, "replace", 1.0)


def test_one_row_becomes_many_except_where_blocks_get_a_bias_for_each_row() -> None:
    with torch.no_grad():
        assert can_widen(family("llama"), INJECTION)
        assert not can_widen(family("bloom"), INJECTION)


def test_running_out_of_memory_is_not_taken_for_an_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(decoding, "_prefill", full)
    with pytest.raises(torch.OutOfMemoryError):
        can_widen(family("llama"), INJECTION)
