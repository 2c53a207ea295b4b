"""A table that a .dvcignore names is refused: DVC would not see it change."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.console import InputError
from pipeline.core.watched import refuse_ignored


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    (tmp_path / "mine").mkdir()
    paths = [Path("mine") / name for name in ("a.csv", "b.csv")]
    for path in paths:
        path.write_text("prompt,response,concept\na,b,c\n", encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    ("rule", "where"),
    [("mine/b.csv", ".dvcignore"), ("mine", ".dvcignore"), ("b.*", "mine/.dvcignore")],
)
def test_an_ignored_table_is_refused_by_its_rule(tables: list[Path], rule: str, where: str) -> None:
    Path(where).write_text("# none of these\n", encoding="utf-8")
    refuse_ignored(tables, "corpora.csv.folder")
    Path(where).write_text(f"# some\n{rule}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"mine/[ab].csv is ignored by {where}:2, so a change"):
        refuse_ignored(tables, "corpora.csv.folder")


def test_a_folder_of_no_repository_has_no_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvcignore").write_text("*.csv\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text("prompt", encoding="utf-8")
    refuse_ignored([tmp_path / "a.csv"], "corpora.csv.folder")
