"""What a failed trial of one row for many vectors says, and what it does not."""

import pytest
import torch

from pipeline.selfie import decoding
from pipeline.selfie.any_decoder import Writing
from pipeline.selfie.decoding import can_widen
from tests.support.families import family

WRITING = Writing(1, "replace", 1.0)


def test_one_row_becomes_many_but_for_a_bias_of_each_row() -> None:
    with torch.no_grad():
        assert can_widen(family("llama"), WRITING)
        assert not can_widen(family("bloom"), WRITING)


def test_want_of_memory_is_no_trait_of_an_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(decoding, "_prefill", full)
    with pytest.raises(torch.OutOfMemoryError):
        can_widen(family("llama"), WRITING)
