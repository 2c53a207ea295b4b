"""The comment of `make review`: judged by seeds and by texts, of a clone that has no cache."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands.review.comment import comment
from commands.review.judging import judged, reach_of_seeds
from pipeline.core.console import InputError
from pipeline.core.params import load_params
from pipeline.reporting.seed_band import band, params_digest, tolerance
from pipeline.reporting.short_headline import MEANT, shown_variant
from tests.support.clones import dvc, git
from tests.support.dag import ROOT

SEEDS = (0.50, 0.52, 0.54, 0.51, 0.53)
LOW, HIGH = band(SEEDS) or (0.0, 0.0)


def marks(value: float, reach: float = 0.01, *, seeds: bool = True) -> dict[str, float]:
    known = {"seeds_low": LOW, "seeds_high": HIGH} if seeds else {}
    return {"value": value, "low": value - reach, "high": value + reach} | known


def test_the_reach_of_seeds_is_the_tolerance_of_two_runs() -> None:
    assert reach_of_seeds(marks(0.5), 5) == pytest.approx(tolerance(SEEDS))
    assert reach_of_seeds(marks(0.5, seeds=False), 5) is None


def test_a_change_counts_where_it_is_beyond_seeds_and_texts() -> None:
    reach = tolerance(SEEDS)
    beyond, within = 0.5 + 1.01 * reach, 0.5 + 0.99 * reach
    assert judged(marks(0.5), marks(beyond), "higher", 5).mark == "**better**"
    assert judged(marks(0.5), marks(beyond), "lower", 5).mark == "**worse**"
    assert judged(marks(0.5), marks(within), "higher", 5).mark == "not clear"
    assert judged(marks(0.5, reach), marks(beyond, reach), "higher", 5).mark == "not clear"
    assert judged(marks(beyond), marks(0.5), "lower", 5).mark == "**better**"
    assert judged(marks(0.5), marks(0.5), "higher", 5).mark == "same"


def test_without_a_band_or_without_an_interval_the_other_decides() -> None:
    bare, moved = ({"value": value} for value in (0.5, 0.9))
    assert judged(bare, moved, "higher", 5).mark == "not clear", "nothing is known of either"
    alone = judged(marks(0.5, seeds=False), marks(0.9, seeds=False), "higher", 0)
    assert (alone.mark, alone.over_seeds, alone.over_texts) == ("**better**", "", "apart")
    banded = moved | {"seeds_low": LOW, "seeds_high": HIGH}
    assert judged(bare, banded, "none", 5).mark == "**moved**"


def test_a_number_that_one_side_lacks_is_new_or_gone() -> None:
    assert judged(None, marks(0.5), "higher", 5).mark == "new"
    assert judged(marks(0.5), None, "higher", 5).mark == "gone"


# A clone of the project


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree with its committed results and a band over seeds, as `main`; no cache."""
    folder = tmp_path_factory.mktemp("review") / "clone"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
        capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "figures/dark/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    edit_json(folder / "benchmarks/results/seeds.json", band_of_these_params(folder))
    git(folder, "init", "-qb", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "main")
    return folder


def band_of_these_params(folder: Path) -> Any:
    digest = params_digest(dict(load_params(folder / "params.yaml")))

    def edit(held: Any) -> None:
        held["params"] = digest
        of_file = held["numbers"][f"metrics/separation/{TUNED}.json"]
        of_file |= dict.fromkeys((GAINED, "probes.above_frozen.novel"), NOVEL)

    return edit


def edit_json(path: Path, edit: Any) -> None:
    tree = json.loads(path.read_text(encoding="utf-8"))
    edit(tree)
    path.write_text(json.dumps(tree), encoding="utf-8")


TUNED = shown_variant(load_params(ROOT / "params.yaml").figures.compared)
GAINED, NOVEL = "difference.probes.best.novel", [0.1, 0.11, 0.12, 0.1, 0.09]


def committed(folder: Path) -> float:
    """What main says of that number."""
    path = f"main:metrics/separation/{TUNED}.json"
    shown = subprocess.run(["git", "show", path], cwd=folder, check=True, capture_output=True)
    tree = json.loads(shown.stdout)
    return float(tree["difference"]["probes"]["best"]["novel"]["value"])


@pytest.fixture
def branch(clone: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clone, tmp_path / "branch", symlinks=True))


def test_experiments_are_a_table_in_a_terminal_of_120_columns(
    branch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the line of the Makefile: all short numbers whose values differ, and a changed param."""
    headline = branch / "metrics/headline.json"
    headline.write_text(json.dumps(dict.fromkeys(EIGHT, -0.123)), encoding="utf-8")
    git(branch, "add", "-A")
    git(branch, "commit", "-qm", "with a headline", "--allow-empty")
    headline.write_text(json.dumps(dict.fromkeys(EIGHT, -0.321)), encoding="utf-8")
    text = (branch / "params.yaml").read_text(encoding="utf-8")
    changed = text.replace("seed: 0", "seed: 7", 1)
    (branch / "params.yaml").write_text(changed, encoding="utf-8")
    makefile = (branch / "Makefile").read_text(encoding="utf-8")
    (line,) = (line for line in makefile.splitlines() if line.startswith("\t@dvc exp show"))
    arguments = shlex.split(line.removeprefix("\t@dvc").replace("$$", "$"))
    monkeypatch.setenv("COLUMNS", "120")
    shown = dvc(branch, *arguments).stdout
    assert max(map(len, shown.splitlines())) <= 120, shown
    assert {*EIGHT, "seed", "-0.123", "-0.321", "7"} <= set(shown.split()), shown
    assert "…" not in shown


EIGHT = [name for name in MEANT if name != "auroc"]  # which stands in where recall is not there


def section(text: str, heading: str) -> str:
    return text.split(f"### {heading}")[1].split("### ")[0]


def row(text: str, name: str) -> list[str]:
    (found,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_nothing_differs_on_main(branch: Path) -> None:
    text = comment(branch, "main")
    assert "None differs." in section(text, "Params")
    assert "None: `dvc.lock` is the base's." in section(text, "Stages")
    assert "None changed." in section(text, "Pictures")
    shown = section(text, f"`{TUNED}`")
    assert {line.split("`")[1] for line in shown.splitlines() if line.startswith("| `")} <= {*MEANT}
    assert shown.count("| same |") >= 6


def test_a_branch_is_reviewed(branch: Path) -> None:
    """Committed or not: two params, a number beyond both bands, a stage, pictures come and gone."""
    params = branch / "params.yaml"
    before = "  learning_rate: 3.0e-3\n  pairs_per_step: 16"
    after = "  learning_rate: 1.0e-3\n  pairs_per_step: 8"
    text = params.read_text(encoding="utf-8")
    assert before in text
    params.write_text(text.replace(before, after), encoding="utf-8")

    def raise_number(tree: Any) -> None:
        raised = {"value": 0.9, "low": 0.85, "high": 0.95}
        tree["difference"]["probes"]["best"]["novel"] = raised
        tree["probes"]["above_frozen"]["novel"] = raised

    edit_json(branch / f"metrics/separation/{TUNED}.json", raise_number)
    yaml = YAML()
    lock = yaml.load((branch / "dvc.lock").read_text(encoding="utf-8"))
    lock["stages"]["summary"]["cmd"] = "python -m stages.other"
    with (branch / "dvc.lock").open("w", encoding="utf-8") as out:
        yaml.dump(lock, out)
    git(branch, "switch", "-qc", "mine")
    git(branch, "commit", "-qam", "half of it")
    drawn = branch / "figures/light"
    (drawn / "map.svg").write_text("<svg/>", encoding="utf-8")
    (drawn / "roc.svg").unlink()
    (drawn / "other.svg").write_text("<svg/>", encoding="utf-8")

    text = comment(branch, "main")
    assert row(text, "finetune.learning_rate") == [
        "`finetune.learning_rate`", "`0.003`", "`0.001`",
    ]  # fmt: skip
    assert row(text, "finetune.pairs_per_step")[1:] == ["`16`", "`8`"]
    number = row(text, "novel")
    assert number[2:4] == [f"{committed(branch):.3f}", "0.900"]
    assert number[4] == f"{0.9 - committed(branch):+.3f}"
    assert number[5:] == [f"beyond ±{tolerance(NOVEL):.3f}", "apart", "**better**"]
    assert "of all headline numbers moved beyond both" in text
    assert row(section(text, "Stages"), "summary")[1] == "its command changed"
    assert "**Results are stale.**" in section(text, "Stages"), "params changed and nothing ran"
    pictures = section(text, "Pictures")
    assert "- changed: `map`" in pictures
    assert "- new: `other`" in pictures
    assert "- gone: `roc`" in pictures


def test_the_base_is_where_both_went_apart(branch: Path) -> None:
    """What main has won since is none of the branch's."""
    git(branch, "switch", "-qc", "mine")
    git(branch, "switch", "-q", "main")
    (branch / "figures/light/map.svg").write_text("<svg/>", encoding="utf-8")
    git(branch, "commit", "-qam", "later on main")
    git(branch, "switch", "-q", "mine")
    assert "None changed." in section(comment(branch, "main"), "Pictures")


def test_a_base_without_results_or_with_other_knobs_is_reviewed_too(branch: Path) -> None:
    git(branch, "rm", "-qr", "metrics", "dvc.lock")
    (branch / "params.yaml").write_text("seed: 1\n", encoding="utf-8")
    git(branch, "add", "-A")
    git(branch, "commit", "-qm", "an older form")
    git(branch, "branch", "older")
    git(branch, "checkout", "-q", "HEAD~", "--", ".")
    git(branch, "commit", "-qm", "today's")
    text = comment(branch, "older")
    assert row(text, "novel")[2:4] == ["none", f"{committed(branch):.3f}"]
    assert row(text, "novel")[-1] == "new"
    assert row(text, "seed")[1:] == ["`1`", "`0`"]
    assert "it is new" in section(text, "Stages")


@pytest.mark.parametrize("base", ["nowhere", "--all", "", "main^{tree}"])
def test_faults_a_base_that_git_does_not_know_is_one_line(branch: Path, base: str) -> None:
    with pytest.raises(InputError, match="git knows no common commit"):
        comment(branch, base)
