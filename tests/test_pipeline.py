"""The road, end to end, in a clone with tiny params: every stage through `dvc repro`, what an
edit re-runs, and that a mistake costs nothing.

All tests here share one clone, and run in their order on one worker (`--dist loadfile`).
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input import BAD_DATA, BAD_PARAMS, put
from tests.dag import ROOT
from tests.tiny import VARIANTS, tiny_tree, write_params

PER_VARIANT = ("adapters", "representations")
ONCE = ("params", "corpora", "base_model", "pairs", "completions", "interpretations", "separation",
        "monitors", "safety", "fidelity", "selfie", "summary", "figures", "report")  # fmt: skip
EVERY_STAGE = {*ONCE, *(f"{stage}@{name}" for stage in PER_VARIANT for name in VARIANTS)}
HEADLINE = {
    "centroid_accuracy", "centroid_accuracy_novel", "knn_accuracy", "knn_accuracy_novel",
    "silhouette", "cosine_within", "cosine_between", "coding_rate_gap", "monitor_auroc",
    "monitor_fpr95", "harmful_rate", "over_refusal_rate", "perplexity", "kl_to_base",
    "selfie_accuracy", "selfie_control_accuracy",
}  # fmt: skip


def git(folder: Path, *command: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True)


def dvc(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", *command], cwd=folder, env=os.environ | {"PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def repro(folder: Path, *command: str) -> set[str]:
    """The stages that ran. Fails with what was printed where one failed."""
    done = dvc(folder, "repro", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"Running stage '([^']+)'", done.stdout))


def digests(folder: Path) -> dict[str, str]:
    """Every result in the clone: what a mistake must not touch."""
    places = ("data", "models", "metrics", "figures", "report", "dvc.lock")
    files = [p for place in places for p in ([folder / place] if (folder / place).is_file()
             else (folder / place).rglob("*")) if p.is_file()]  # fmt: skip
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as a repository of its own, run once from nothing."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "metrics/", "figures/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    write_params(folder / "params.yaml", tiny_tree())
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "tiny")
    assert repro(folder) == EVERY_STAGE
    return folder


@pytest.fixture
def edited(clone: Path) -> Iterator[Callable[[Callable[[Any], object]], None]]:
    """Edits the clone's params.yaml; undone after the test."""
    before = (clone / "params.yaml").read_bytes()

    def edit(change: Callable[[Any], object]) -> None:
        tree = tiny_tree()
        change(tree)
        write_params(clone / "params.yaml", tree)

    yield edit
    (clone / "params.yaml").write_bytes(before)


def test_nothing_to_do(clone: Path) -> None:
    assert "Data and pipelines are up to date." in dvc(clone, "repro").stdout


def test_the_headline_is_whole(clone: Path) -> None:
    summary = json.loads((clone / "metrics/summary.json").read_text(encoding="utf-8"))
    assert set(summary) == set(VARIANTS)
    assert all(set(row) == HEADLINE for row in summary.values())
    assert summary["base"]["kl_to_base"] == 0
    assert summary["sft_supcon"]["kl_to_base"] > 0


def test_metrics_carry_layers_positions_and_intervals(clone: Path) -> None:
    tree = json.loads((clone / "metrics/separation/base.json").read_text(encoding="utf-8"))
    assert set(tree) == {"layer_0", "layer_1", "layer_2"}
    for position in tree.values():
        assert set(position) == {"prompt_end", "last", "mean"}
    for estimate in tree["layer_1"]["last"]["novel"].values():
        assert set(estimate) == {"value", "low", "high"}


def test_pictures_and_page_are_there(clone: Path) -> None:
    pictures = {path.name for path in (clone / "figures").glob("*.png")}
    assert pictures == {"map.png", "separation.png", "layers.png", "interpretation.png",
                        "behaviour.png"}  # fmt: skip
    page = (clone / "report/index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(pictures)
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page fetches nothing"
    assert all(f">{name}</th>" in page for name in VARIANTS)


def test_results_hold_no_machine(clone: Path) -> None:
    home = str(Path.home()).encode()
    for name in digests(clone):
        content = (clone / name).read_bytes()
        assert str(clone).encode() not in content, name
        assert home not in content or home == b"/", name


def test_git_sees_only_results(clone: Path) -> None:
    listed = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=clone, check=True, capture_output=True,
        text=True,
    ).stdout.splitlines()  # fmt: skip
    assert {line[3:].split("/")[0] for line in listed} == {"dvc.lock", "metrics", "figures"}


def test_same_seed_same_bytes(clone: Path) -> None:
    """Two runs of every stage give one dvc.lock."""
    before = (clone / "dvc.lock").read_bytes()
    assert repro(clone, "--force") == EVERY_STAGE
    assert (clone / "dvc.lock").read_bytes() == before


READ_VARIANTS = {"completions", "interpretations", "separation", "monitors", "safety", "fidelity",
                 "selfie", "summary", "figures"}  # fmt: skip
# Two that keep their former output while they run, and those whose folders of metrics are in git.
NEVER_FROM_THE_RUN_CACHE = {"params", "corpora", "separation", "monitors", "safety", "fidelity",
                            "selfie"}  # fmt: skip
EDITS = {
    "the machine": (
        lambda tree: tree["runtime"].update(threads=2),
        {"params"},  # it reads the whole file, and writes what it wrote before
        {"params"},
    ),
    "a figure": (
        lambda tree: tree["figures"].update(palette="muted"),
        {"params", "figures", "report"},
        {"params", "figures", "report"},
    ),
    "one variant": (
        lambda tree: tree["variants"]["shuffled"].update(contrast_weight=0.5),
        {"params", "adapters@shuffled", *READ_VARIANTS},
        {"params", "adapters@shuffled", "representations@shuffled", "report", *READ_VARIANTS},
    ),
    "the corpora": (
        lambda tree: tree["corpora"]["embedded"].update(ambiguity=0.5),
        {"params", "corpora"},
        # documents and described texts stay as they are: the base model is not trained again
        EVERY_STAGE - {"base_model"},
    ),
}


@pytest.mark.parametrize(("change", "named", "ran"), EDITS.values(), ids=EDITS)
def test_only_what_changed_runs_again(
    clone: Path,
    edited: Callable[[Callable[[Any], object]], None],
    change: Callable[[Any], object],
    named: set[str],
    ran: set[str],
) -> None:
    """And going back runs no model: former results come out of the run cache."""
    before = digests(clone)
    edited(change)
    assert set(json.loads(dvc(clone, "status", "--json").stdout)) == named
    assert repro(clone) == ran
    edited(lambda tree: None)
    assert repro(clone) <= NEVER_FROM_THE_RUN_CACHE
    assert digests(clone) == before


@pytest.mark.parametrize(("change", "message"), BAD_PARAMS.values(), ids=BAD_PARAMS)
def test_bad_params_are_one_line_and_cost_nothing(
    clone: Path,
    edited: Callable[[Callable[[Any], object]], None],
    change: Callable[[Any], object],
    message: str,
) -> None:
    before = digests(clone)
    edited(change)
    refused(dvc(clone, "repro"), "error: params.yaml: ", message)
    assert digests(clone) == before


@pytest.mark.parametrize(("content", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_are_one_line_and_cost_nothing(
    clone: Path,
    edited: Callable[[Callable[[Any], object]], None],
    content: bytes | None,
    message: str,
) -> None:
    tables = clone / "tables"
    shutil.rmtree(tables, ignore_errors=True)
    tables.mkdir()
    (tables / "note.txt").write_text("not a table", encoding="utf-8")
    if content is not None:
        (tables / "texts.csv").write_bytes(content)
    before = digests(clone)

    def read_tables(tree: Any) -> None:
        tree["corpora"]["source"] = "csv"
        tree["corpora"]["csv"]["folder"] = "tables"

    edited(read_tables)
    refused(dvc(clone, "repro"), message)
    after = digests(clone)
    # The check of params passed, which dvc.lock notes; nothing else may differ.
    assert {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)} <= {
        "dvc.lock"
    }


def test_a_folder_that_is_not_there(
    clone: Path, edited: Callable[[Callable[[Any], object]], None]
) -> None:
    edited(put("corpora.csv", folder="nowhere"))
    done = dvc(clone, "repro")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line that says what is wrong; DVC adds which stage failed."""
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, done.stderr
    assert all(part in said[0] for part in parts)
    assert "Traceback" not in done.stdout + done.stderr
