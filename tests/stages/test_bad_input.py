"""A mistake gets one line, a code other than 0, and costs nothing that was there before."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_input import BAD_DATA, BAD_PARAMS, put
from tests.support.clones import Edit, digests, dvc, new_clone, repro


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run as far as no model is needed: stages that a mistake reaches have outputs to lose."""
    folder = new_clone(tmp_path_factory.mktemp("clone"))
    assert repro(folder, "corpora") == {"params", "corpora"}
    return folder


@pytest.mark.parametrize(("change", "message"), BAD_PARAMS.values(), ids=BAD_PARAMS)
def test_bad_params_are_one_line_and_cost_nothing(
    clone: Path,
    edited: Edit,
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
    edited: Edit,
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


@pytest.mark.parametrize(
    ("section", "key"), [("corpora.csv", "folder"), ("model.path", "location")]
)
def test_faults_a_folder_that_is_not_there(
    clone: Path, edited: Edit, section: str, key: str
) -> None:
    before = digests(clone)
    edited(put(section, **{key: "nowhere"}))
    refused(dvc(clone, "repro"), f"error: params.yaml: {section}.{key} is nowhere, which is not")
    assert digests(clone) == before


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line that says what is wrong; DVC adds which stage failed."""
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, done.stderr
    assert all(part in said[0] for part in parts)
    assert "Traceback" not in done.stdout + done.stderr
