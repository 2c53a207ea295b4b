"""`legible-sweep` over a repository of made-up runs, and over experiments that DVC makes."""

import argparse
import subprocess
from pathlib import Path

import pytest

from commands.sweep.command import write_sweep
from pipeline.core.console import InputError
from pipeline.reporting.svg import alt_of
from tests.support.clones import dvc, git
from tests.support.sweep_project import (
    FROZEN,
    TUNED,
    add_experiment,
    new_repository,
    write_run,
)
from tests.support.toy_project import module

RATES = {1e-3: 0.05, 3e-3: 0.10, 1e-2: 0.30}  # what each gains, seed 0


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rates, three seeds each; the commit itself is one of them."""
    folder = new_repository(tmp_path_factory.mktemp("sweep") / "project")
    for rate, gain in RATES.items():
        for seed in range(3):
            if (rate, seed) != (3e-3, 0):
                add_experiment(folder, f"r{rate}-{seed}", gain + 0.01 * seed, seed=seed,
                               finetune={"learning_rate": rate})  # fmt: skip
    return folder


def asked(*revisions: str, **changed: object) -> argparse.Namespace:
    own = {"revisions": revisions, "all": False, "against": "", "variants": [],
           "numbers": ["probe", "ppl"], "out": Path("work/sweep")}  # fmt: skip
    return argparse.Namespace(**(own | changed))


def rows(text: str, heading: str = "## Sweep") -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = text.split(heading)[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_sweep_is_a_row_a_setting_with_the_best_frozen_beside(swept: Path) -> None:
    text = write_sweep(swept, asked())
    assert "## Sweep: 3 settings, 9 runs, 3 seeds" in text
    found = rows(text)
    assert [row[:2] for row in found] == [["`0.001`", "3"], ["`0.003`", "3"], ["`0.01`", "3"]]
    assert all(row[2].startswith(f"{FROZEN:.3f}") for row in found)
    # mean 0.06; t(.975, 2) = 4.303, sd 0.01: +-0.0248; texts +-0.02
    assert found[0][3] == "**+0.060** [+.04, +.08] seeds [+.04, +.08]"
    assert found[0][4].startswith("1.050"), "2.1 / 2"
    assert "learning_rate" in text
    assert "no interval over seeds" not in text


def test_settings_are_held_to_that_of_the_commit_seed_by_seed(swept: Path) -> None:
    text = write_sweep(swept, asked())
    found = rows(text, "### Seed by seed, minus `learning_rate 0.003`")
    assert [row[0] for row in found] == ["`0.001`", "`0.01`"]
    assert found[1][1].startswith("+0.200 [+0.200, +0.200]")
    other = write_sweep(swept, asked(against="r0.001-1"))
    assert "minus `learning_rate 0.001`" in other


def test_the_page_and_its_pictures_lie_in_the_folder(swept: Path, tmp_path: Path) -> None:
    text = write_sweep(swept, asked(out=tmp_path / "out"))
    written = (tmp_path / "out/sweep.md").read_text(encoding="utf-8")
    assert written.startswith(text)
    for theme in ("light", "dark"):
        shown = alt_of(tmp_path / f"out/{theme}/sweep.svg")
        assert "learning_rate 0.01 0.310" in shown
        assert shown in written


def test_chosen_runs_are_compared_by_name_pattern_or_commit(swept: Path) -> None:
    assert "1 setting, 3 runs" in write_sweep(swept, asked("r0.001-*"))
    assert "2 settings, 4 runs" in write_sweep(swept, asked("r0.001-*", "main"))
    git(swept, "branch", "-f", "swept/one", "refs/exps/" + ref_of(swept, "r0.01-2"))
    assert "2 settings, 2 runs" in write_sweep(swept, asked("swept/*", "HEAD"))


def ref_of(folder: Path, name: str) -> str:
    done = subprocess.run(["git", "for-each-ref", "--format=%(refname)", "refs/exps"], cwd=folder,
                          check=True, capture_output=True, text=True)  # fmt: skip
    (found,) = (ref for ref in done.stdout.split() if ref.endswith(f"/{name}"))
    return found.removeprefix("refs/exps/")


def test_a_clone_without_a_cache_compares_what_it_fetched(swept: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(swept), str(clone)], check=True)
    git(clone, "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    assert write_sweep(clone, asked()) == write_sweep(swept, asked())


def test_variants_are_compared_within_runs(tmp_path: Path) -> None:
    """Losses are rows of one run: no experiment is needed for them, but a name."""
    folder = new_repository(tmp_path / "project")
    write_run(folder, {TUNED: (0.1, 0.1), "base": (0.0, 0.0)})
    git(folder, "commit", "-qam", "same", "--allow-empty")
    text = write_sweep(folder, asked("HEAD", variants=[TUNED, "base"]))
    assert [row[0] for row in rows(text)] == [f"`{TUNED}`", "`base`"]


def test_one_seed_a_setting_is_said_to_have_no_interval_over_seeds(swept: Path) -> None:
    text = write_sweep(swept, asked("r0.001-0", "r0.01-0"))
    assert "Every setting has one seed, so there is no interval over seeds" in text
    assert rows(text)[0][3] == "**+0.050** [+.03, +.07]"
    assert "Seed by seed" not in text
    mixed = write_sweep(swept, asked("r0.001-0", "r0.01-*"))
    assert "A setting with one seed has no interval over seeds" in mixed


def test_what_cannot_be_compared_is_left_out_by_name(swept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    git(tmp_path, "clone", "-q", str(swept), str(folder))
    git(folder, "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    git(folder, "switch", "-qc", "empty")
    git(folder, "rm", "-qr", "metrics")
    git(folder, "commit", "-qm", "no results")
    git(folder, "switch", "-qc", "older", "main")
    (folder / "params.yaml").write_text("seed: 1\n", encoding="utf-8")
    git(folder, "commit", "-qam", "other knobs")
    text = write_sweep(folder, asked("r0.01-*", "empty", "older"))
    assert f"- left out: empty has no results of {TUNED}" in text
    assert "- left out: older has other knobs than this code" in text
    with pytest.raises(InputError, match="no run has results to compare: older has other knobs"):
        write_sweep(folder, asked("older"))


def test_faults_a_commit_without_experiments_is_one_line(tmp_path: Path) -> None:
    folder = new_repository(tmp_path / "project")
    with pytest.raises(InputError, match="this commit has no experiments; `dvc exp run"):
        write_sweep(folder, asked())
    add_experiment(folder, "former", 0.1, seed=1)
    git(folder, "commit", "-qm", "later", "--allow-empty")
    with pytest.raises(InputError, match="--all takes 1 of other commits"):
        write_sweep(folder, asked())
    assert "2 seeds" in write_sweep(folder, asked(all=True))


@pytest.mark.parametrize(
    ("name", "line"),
    [("r0.01-22", "did you mean 'r0.01-2'"), ("--all", "is no experiment"), ("", "is no experi")],
)
def test_faults_a_name_that_git_does_not_know_is_one_line(swept: Path, name: str, line: str
                                                          ) -> None:  # fmt: skip
    with pytest.raises(InputError, match=line):
        write_sweep(swept, asked(name))


def test_faults_a_folder_without_git_is_one_line(tmp_path: Path) -> None:
    done = module(tmp_path, "commands.sweep.command")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: this folder has no commit of git")


STAGE = """
import re
from tests.support.sweep_project import TUNED, write_metrics
from pathlib import Path
seed = int(re.search(r"^seed: (\\d+)", Path("params.yaml").read_text(), re.M)[1])
write_metrics(Path("."), {TUNED: (0.1 + 0.01 * seed, 0.1)})
"""
DVC = """
stages:
  toy:
    cmd: python toy.py
    params: [seed]
    outs: [metrics: {cache: false}]
"""


def test_experiments_that_dvc_ran_are_compared(tmp_path: Path) -> None:
    folder = new_repository(tmp_path / "project")
    git(folder, "rm", "-qr", "--cached", "metrics")
    (folder / "toy.py").write_text(STAGE, encoding="utf-8")
    (folder / "dvc.yaml").write_text(DVC, encoding="utf-8")
    dvc(folder, "init", "-q")
    assert dvc(folder, "repro", "-q").returncode == 0
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "toy")
    made = dvc(folder, "exp", "run", "-q", "-S", "seed=1")
    assert made.returncode == 0, made.stderr
    done = module(folder, "commands.sweep.command", "--numbers", "probe")
    assert done.returncode == 0, done.stderr
    assert "## Sweep: 1 setting, 2 runs, 2 seeds" in done.stdout
    assert "| 2 | 0.700 [.68, .72] seeds [.70, .70] | **+0.105** [+.08, +.12] seeds" in done.stdout
    assert (folder / "work/sweep/light/sweep.svg").is_file()
