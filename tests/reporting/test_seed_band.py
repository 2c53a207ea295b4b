"""The band over seeds is a prediction interval, and belongs to the params that it was made with."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.core.params import Params, load_params
from pipeline.reporting.seed_band import (
    SeedValues,
    band,
    deviation,
    numbers_of,
    params_digest,
    read_seed_values,
    tolerance,
)
from tests.support.dag import ROOT
from tests.support.tiny import plain, tiny_tree

numbers = st.floats(-1e3, 1e3)


def test_the_band_holds_one_more_run_and_the_tolerance_two_runs_in_95_of_100_cases() -> None:
    draws = np.random.default_rng(0).normal(3, 2, size=(4000, 7)).tolist()
    bands = [band(row[:5]) for row in draws]
    held = [ends is not None and ends[0] < row[5] < ends[1]
            for ends, row in zip(bands, draws, strict=True)]  # fmt: skip
    apart = [abs(row[5] - row[6]) < tolerance(row[:5]) for row in draws]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)
    assert np.mean(apart) == pytest.approx(0.95, abs=0.01)


@given(st.lists(numbers, min_size=2, max_size=8), numbers)
def test_the_band_moves_with_its_values(values: list[float], shift: float) -> None:
    low, high = band(values) or (math.nan, math.nan)
    moved = band([value + shift for value in values])
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-6)
    assert deviation(values) == pytest.approx(float(np.std(values, ddof=1)), abs=1e-9)
    assert low <= np.mean(values) + 1e-9
    assert high >= np.mean(values) - 1e-9


def test_worked_example() -> None:
    low, high = band([1.0, 2.0, 3.0]) or (0, 0)
    assert (low, high) == pytest.approx((2 - 4.9683, 2 + 4.9683), abs=1e-4)
    assert tolerance([1.0, 2.0, 3.0]) == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(2))


def test_one_value_has_no_band_and_equal_ones_have_no_width() -> None:
    assert band([]) is None
    assert band([0.1, None]) is None
    assert tolerance([0.1]) == 0
    assert band([0.1] * 5) == (0.1, 0.1)
    assert band([1.0, None, 2.0, 3.0]) == band([1.0, 2.0, 3.0])


def test_every_estimate_whose_values_are_known_gets_its_band() -> None:
    known = {"a.b": [0.0, 1.0], "d": [1.0, 1.0]}
    tree = {"a": {"b": mark(0.5), "c": mark(0.5)}, "d": mark(1.0), "word": "last"}
    found = SeedValues(numbers={"f.json": known}).beside(tree, "f.json")
    assert found["a"]["b"] == {**mark(0.5), "seeds_low": pytest.approx(0.5 - 11.003, abs=1e-3),
                               "seeds_high": pytest.approx(0.5 + 11.003, abs=1e-3)}  # fmt: skip
    assert found["d"] == {**mark(1.0), "seeds_low": 1.0, "seeds_high": 1.0}
    assert found["a"]["c"] == mark(0.5)
    assert found["word"] == "last"
    assert SeedValues().beside(tree, "f.json") == tree
    assert SeedValues(numbers={"f.json": known}).beside(tree, "other.json") == tree


def mark(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 1, "high": value + 1}


def test_an_estimate_is_one_number_and_its_ends_are_none() -> None:
    tree = {"a": {"b": mark(0.5)}, "low": 3, "words": {"high": "x"}}
    assert dict(numbers_of(tree)) == {"a.b": 0.5, "low": 3, "words.high": "x"}


def test_the_band_is_read_for_the_params_that_it_is_of(tmp_path: Path) -> None:
    path, params = tmp_path / "seeds.json", dict(tiny())
    assert read_seed_values(path, params) == SeedValues()
    held = {"commit": "c", "seeds": [1, 2], "numbers": {"f": {"a": [1.0, 2.0]}}}
    path.write_text(json.dumps({**held, "params": params_digest(params)}), encoding="utf-8")
    assert read_seed_values(path, params).numbers == held["numbers"]
    other = dict(tiny(pretraining=11))
    assert read_seed_values(path, other) == SeedValues()


def test_the_digest_is_of_what_decides_numbers_but_for_the_seed() -> None:
    first = params_digest(dict(tiny()))
    assert params_digest(dict(tiny(seed=7))) == first
    assert params_digest(dict(tiny(threads=3))) == first
    assert params_digest(dict(tiny(pretraining=11))) != first
    without = {name: section for name, section in tiny() if name != "runtime"}
    assert params_digest(without) == first


def test_the_knobs_of_another_source_decide_nothing() -> None:
    params = tiny()
    digest = params_digest(dict(params))
    for name, chosen in (("csv", False), ("embedded", True)):
        section = getattr(params.corpora, name)
        other = section.model_copy(update={"test": section.test + 1})
        corpora = params.corpora.model_copy(update={name: other})
        assert (params_digest(dict(params) | {"corpora": corpora}) != digest) == chosen


def tiny(seed: int = 0, pretraining: int = 12, threads: int = 1) -> Params:
    tree = tiny_tree()
    tree["seed"] = seed
    tree["pretraining"]["steps"] = pretraining
    tree["runtime"]["threads"] = threads
    return Params.model_validate(plain(tree))


def test_the_report_and_the_tables_ask_for_the_same_params() -> None:
    """The report hands over sections one by one; all that a digest is of must be among them."""
    stage = (ROOT / "stages/report.py").read_text(encoding="utf-8")
    handed = set(re.findall(r'"(\w+)": (?:params\.)?\1\b', stage))
    assert set(dict(load_params(ROOT / "params.yaml"))) - handed == {"runtime", "seeds"}
