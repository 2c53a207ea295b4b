"""The finetunes of the study of pretrained models see the texts that they should."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import real_tuning
from benchmarks.real_measures import Fold, half_of
from benchmarks.real_tuning import Bench
from benchmarks.real_units import OURS, Setting
from pipeline.core.records import Example
from pipeline.corpora.pairs import draw_pairs
from pipeline.models.encoding import Encoder


@pytest.mark.parametrize("half", [False, True])
def test_a_finetune_watches_validation_texts_and_learns_from_its_own(
    half: bool, examples: list[Example], model: Any, encoder: Encoder,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "models/smollm2").mkdir(parents=True)
    monkeypatch.setattr(Bench, "load", lambda self: (deepcopy(model), encoder))
    tiny = real_tuning.Pretrained("smollm2-135m-package", 2, (1, 2), 1)
    monkeypatch.setitem(real_tuning.PRESETS, "smollm2", tiny)
    learned: list[str] = []

    def seen(some: list[Example], *rest: Any) -> list[Any]:
        learned.extend(example.id for example in some)
        return draw_pairs(some, *rest)

    monkeypatch.setattr(real_tuning, "draw_pairs", seen)
    texts = [replace(e, id=f"{e.id} {n}", prompt=f"{e.prompt} {n}") for e in examples
             for n in range(4)]  # fmt: skip
    fold = Fold(texts, ("safe",))
    setting = Setting((1,), ("last",), "standardised", 2e-3, 1, half=half)
    bench = Bench("smollm2", tmp_path, texts[:5], [])
    states, costs = bench.tuned("a-unit", OURS, fold, setting, 0)
    assert states.values.shape[:3] == (2, 2, len(texts))
    assert np.isfinite(costs["gap"]).all()
    assert costs["gap"]
    wanted = half_of(fold) if half else fold.of("train")
    assert learned == [e.id for e, own in zip(texts, wanted, strict=True) if own]
