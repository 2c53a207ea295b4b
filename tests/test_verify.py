"""What a run from nothing says of committed results, and what seeds say of both: in small trees,
and in a project of two stages."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparing import SHARE, allowed_share, compare, unit
from benchmarks.seeds import by_seed, kept, write_seed_values
from pipeline.core.files import read_json
from pipeline.reporting.seed_band import tolerance
from tests.support.toy_project import benchmark, commit, new_project

SEEDS = {"a.b": [0.50, 0.52, 0.54, 0.51, 0.53]}


def tree(value: Any, **more: Any) -> dict[str, Any]:
    return {"a": {"b": {"value": value, "low": -1.0, "high": 1.0}}, **more}


def numbers_outside(found: Any, seeds: Any = SEEDS) -> tuple[list[str], list[str]]:
    result = compare(tree(0.5), found, seeds)
    return [d.number for d in result.outside], [d.number for d in result.broken]


def test_a_number_is_within_the_tolerance_of_its_seeds_or_outside() -> None:
    reach = tolerance(SEEDS["a.b"])
    assert numbers_outside(tree(0.5)) == ([], [])
    assert numbers_outside(tree(0.5 + 0.99 * reach)) == ([], [])
    assert numbers_outside(tree(0.5 - 1.01 * reach)) == (["a.b"], [])
    (found,) = compare(tree(0.5), tree(9.0), SEEDS).outside
    assert (found.committed, found.found, found.tolerance) == (0.5, 9.0, pytest.approx(reach))


def test_without_seeds_the_last_digit_is_the_tolerance() -> None:
    assert numbers_outside(tree(0.500001), {}) == ([], [])
    assert numbers_outside(tree(0.500003), {}) == (["a.b"], [])
    assert (unit(0.5, 0.1), unit(-123456.0), unit(0.0)) == (pytest.approx(1e-6), 1.0, 0.0)


def test_ends_of_intervals_are_not_judged() -> None:
    wide = {"a": {"b": {"value": 0.5, "low": -9.0, "high": 9.0}}}
    assert numbers_outside(wide) == ([], [])


def test_missing_and_new_and_no_numbers_have_no_tolerance() -> None:
    assert numbers_outside({}) == ([], ["a.b"])
    assert numbers_outside(tree(0.5, c=1)) == ([], ["c"])
    for nothing in (math.nan, math.inf, "0.5", None, True):
        assert numbers_outside(tree(nothing)) == ([], ["a.b"])
    word = compare(tree(0.5, position="last"), tree(0.5, position="mean"), SEEDS)
    assert [d.number for d in word.broken] == ["position"]
    assert compare(tree(0.5, position="last"), tree(0.5, position="last"), SEEDS).broken == []


def test_a_number_that_some_seeds_lack_may_come_and_go() -> None:
    rare = {"a.b": [0.5, None, 0.5], "c": [None, 1.0, 1.0]}
    assert numbers_outside({}, rare) == ([], [])
    assert numbers_outside(tree(0.5, c=1), rare) == ([], [])
    assert numbers_outside(tree(math.nan), rare) == ([], ["a.b"])


leaves = st.floats(-1e6, 1e6) | st.integers(-9, 9) | st.text(max_size=3)
trees = st.recursive(
    leaves, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner), max_leaves=9
).filter(lambda tree: isinstance(tree, dict))


@given(trees, trees)
def test_a_run_confirms_itself_and_order_decides_nothing(first: Any, second: Any) -> None:
    itself = compare(first, first, {})
    assert not itself.outside
    assert not itself.broken
    there, back = compare(first, second, {}), compare(second, first, {})
    assert [d.number for d in there.outside] == [d.number for d in back.outside]
    assert [d.number for d in there.broken] == [d.number for d in back.broken]
    assert len(there.outside) + len(there.broken) <= there.compared


def test_numbers_that_move_together_may_lie_outside_together() -> None:
    """Of independent numbers, about 5 in 100 lie outside between two seeds; of numbers that follow
    one hidden draw, all at once."""
    draws = np.random.default_rng(1)
    alone = draws.normal(size=(4000, 5))
    assert allowed_share(alone.tolist()) == SHARE
    together = 1 + 0.01 * alone[:400] + np.array([0.0, 0.001, 0.0005, 90.0, 0.0])
    assert allowed_share(together.tolist()) == 1
    assert allowed_share([]) == allowed_share([[1.0, 2.0]]) == SHARE
    assert allowed_share([[1.0, None, 3.0, 4.0, 9.0]]) == SHARE


def test_values_are_written_a_number_a_line_sorted_and_read_back(tmp_path: Path) -> None:
    runs = [{"g.json": tree(1.0, word="x"), "f.json": {"z": 1, "b": 0.25}}, {"g.json": tree(2.0)}]
    numbers = by_seed(runs)
    assert numbers == {
        "f.json": {"b": [0.25, None], "z": [1, None]}, "g.json": {"a.b": [1.0, 2.0]},
    }  # fmt: skip
    write_seed_values(tmp_path / "seeds.json", {"commit": "c", "seeds": [3, 4]}, numbers)
    assert read_json(tmp_path / "seeds.json") == {
        "commit": "c", "seeds": [3, 4], "numbers": numbers,
    }  # fmt: skip
    assert '"b": [0.25, null],\n' in (tmp_path / "seeds.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the values of its seeds, committed."""
    folder = new_project(tmp_path_factory.mktemp("toy") / "project")
    done = benchmark(folder, "seeds", "--work", "work/seeds")
    assert done.returncode == 0, done.stdout + done.stderr
    commit(folder)
    return folder


def test_seeds_are_run_each_for_itself_and_kept(project: Path) -> None:
    held = read_json(project / "benchmarks/results/seeds.json")
    assert held["seeds"] == [0, 1, 2, 3, 4]
    assert held["numbers"] == {
        "metrics/toy/base.json": {
            "difference.moves": [2.0] * 5, "moves": [0.5, 0.6, 0.7, 0.5, 0.6], "stays": [1.0] * 5,
        }
    }  # fmt: skip
    kept = project / "work/seeds"
    assert {path.name for path in kept.iterdir()} == {"0", "1", "2", "3", "4"}
    assert (kept / "3/commit.txt").read_text(encoding="utf-8") == held["commit"]


def test_finished_seeds_of_the_same_commit_are_not_run_again(project: Path) -> None:
    def rerun() -> str:
        return benchmark(project, "seeds", "--work", "work/seeds").stdout

    assert rerun().count("finished") == 5, "another commit's are"
    (project / "work/seeds/2").rename(project / "work/away")
    assert rerun().count("finished") == 1
    assert rerun().count("finished") == 0
    commit(project)


FOUND = {"moves": 0.5, "stays": 1.0, "position": "last", "difference": {"moves": 2.0}}
EQUAL, WITHIN = "equal", "within tolerance; 0 of 4 numbers outside (10% may be)"
MISSING = "changed; 0 of 4 numbers outside (10% may be); 1 missing, new or no numbers"


@pytest.mark.parametrize(
    ("noise", "committed", "outcome", "row"),
    [
        ("none", None, EQUAL, ""),
        ("other", None, WITHIN, ""),
        ("none", FOUND, WITHIN, ""),
        ("none", FOUND | {"moves": 9}, "changed; 1 of 4 numbers outside", "moves 9 0.5 0.328"),
        ("none", FOUND | {"more": 1}, MISSING.replace("4", "5"), "more 1 none nan"),
        ("none", FOUND | {"stays": "x"}, MISSING, "stays x 1 nan"),
    ],
)
def test_a_run_from_nothing_confirms_what_is_committed_or_not(
    project: Path, tmp_path: Path, noise: str, committed: Any, outcome: str, row: str
) -> None:
    """noise: moves what is found; committed: metrics that stand there instead of the true ones;
    row: of the table of numbers that are not confirmed."""
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    (copy / "noise").write_text(noise, encoding="utf-8")
    if committed:
        (copy / "metrics/toy/base.json").write_text(json.dumps(committed), encoding="utf-8")
    commit(copy)
    done = benchmark(copy, "verify")
    assert done.returncode == outcome.startswith("changed"), done.stdout + done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    (toy,) = (line for line in lines if line.startswith("toy "))
    assert toy.startswith(f"toy {outcome}")
    assert ("metrics/toy/base.json" in toy) == (outcome != EQUAL)
    assert ("other bytes: data/states, metrics/toy/curve.csv" in toy) == (noise == "other")
    assert "after equal" in lines
    assert any(line.startswith(f"metrics/toy/base.json {row}") for line in lines) == bool(row)


def test_work_that_is_not_committed_is_refused_in_one_line(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    (copy / "noise").write_text("other", encoding="utf-8")
    for command in (("verify",), ("seeds", "--work", "work/seeds")):
        done = benchmark(copy, *command)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("error: noise differs from the last commit")
        assert done.stderr.count("\n") == 1


def test_values_are_kept_of_numbers_that_the_seed_still_gives() -> None:
    held = {
        "a.json": {"x": [1.0, 2.0], "y.z": [3.0, None], "gone": [0.0, 0.0]},
        "b.json": {"x": [5, 6]},
    }
    now = {"a.json": {"x": {"value": 2.0, "low": 0.0, "high": 9.0}, "y": {"z": 3.0}, "new": 1.0}}
    assert kept(held, 1, now) == {"a.json": {"x": [1.0, 2.0]}}
    assert kept(held, 0, now) == {"a.json": {"y.z": [3.0, None]}}
