"""legible-data on a folder: what it understood, and the params to paste."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tokenizers import Tokenizer, models, pre_tokenizers

from commands.start import data
from pipeline.core.console import InputError
from pipeline.core.params import load_params
from pipeline.core.paths import BASE_MODEL
from pipeline.core.presets import lay_over
from pipeline.corpora.folder_corpus import read_tables
from tests.support.dag import ROOT

Said = Callable[..., str]


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """What the command prints of a folder `mine`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copy(ROOT / "params.yaml", tmp_path)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["legible-data", *arguments])
        data.main()
        return capsys.readouterr().out

    return run


def write(rows: list[dict[str, Any]]) -> None:
    Path("mine").mkdir()
    Path("mine/t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(count: int = 60, **more: Any) -> list[dict[str, Any]]:
    return [
        {"Question": f"ask {n}", "output": f"{n} said", "topic": ("fine", "foul")[n % 2]} | more
        for n in range(count)
    ]


def test_columns_are_guessed_and_what_is_pasted_reads_the_same(said: Said) -> None:
    write(rows())
    printed = said("mine", "--safe", "fine")
    assert "Harmless concepts: fine" in printed
    assert "ask 0" in printed
    assert "ask 1 " not in printed
    assert "ask 1 " in said("mine", "--safe", "fine", "--show")
    pasted = YAML().load(printed.partition("In params.yaml:")[2])
    tree = YAML().load(Path("params.yaml"))
    lay_over(tree, pasted)
    YAML().dump(tree, Path("params.yaml"))
    params = load_params()
    assert params.corpora.csv.texts == ("Question", "output")
    assert len(read_tables(params.corpora.csv, 0).examples) == 60
    assert said().splitlines()[:9] == printed.splitlines()[:9]


def test_several_columns_and_names_are_taken(said: Said) -> None:
    write([{"text": f"ask {n}", "a": n % 2, "b": int(n % 3 == 0)} for n in range(120)])
    printed = said("mine", "--label", "a", "b", "--unlabelled", "none", "--names", "a=anger")
    assert "label: [a, b]" in printed
    assert "names: {a: anger}" in printed
    assert "Texts of several concepts, trained on and scored by nothing: " in printed
    assert "anger + b" in printed


def test_chats_are_recognised(said: Said) -> None:
    turns = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "say"}]
    write([
        {"messages": [turns[0] | {"content": f"ask {n}"}, turns[1]], "label": "ab"[n % 2]}
        for n in range(60)
    ])  # fmt: skip
    assert "texts: [messages]" in said("mine")


def test_lengths_stand_beside_the_cut(said: Said) -> None:
    tokenizer = Tokenizer(models.WordLevel({"ask": 0, "[UNK]": 1}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    BASE_MODEL.mkdir(parents=True)
    tokenizer.save(str(BASE_MODEL / "tokenizer.json"))
    write([row | {"Question": f"ask {n} " * (60 if n < 15 else 1)} for n, row in enumerate(rows())])
    (line,) = [line for line in said("mine").splitlines() if "(text.prompt_tokens)" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["prompt", "2", "120", "120", "96 (text.prompt_tokens)", "25.0%"]


@pytest.mark.parametrize(
    ("row", "arguments", "message"),
    [
        (
            {"words": "a", "label": "b"},
            [],
            "which column of mine? Name it by --texts: words, label",
        ),
        ({"text": "a", "kind": "b"}, [], "which column of mine? Name it by --label: text, kind"),
        ({"text": "a", "label": "b"}, ["--names", "b"], "--names b: write LABEL=NAME"),
    ],
)
def test_what_cannot_be_guessed_is_asked_in_one_line(
    said: Said, row: dict[str, str], arguments: list[str], message: str
) -> None:
    write([row])
    with pytest.raises(InputError) as mistake:
        said("mine", *arguments)
    assert str(mistake.value) == message


def test_a_corpus_that_no_run_would_take_is_shown_and_then_refused(
    said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    write([*rows(), {"Question": "q", "output": "o", "topic": "rare thing"}])
    with pytest.raises(InputError, match="concept 'rare thing' has"):
        said("mine")
    assert "rare thing" in capsys.readouterr().out
