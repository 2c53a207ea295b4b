"""What is printed of the corpora is what they hold."""

import hashlib
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from commands.start import corpus_tables, data
from pipeline.core.console import InputError
from pipeline.core.paths import CORPORA
from pipeline.core.records import Example, write_records
from pipeline.corpora.corpus import Corpus, check_corpus, write_manifest
from pipeline.corpora.near_duplicates import find_near_duplicates
from tests.support.dag import ROOT
from tests.support.no_network import PYTHON_PATH


def text(number: int, concept: str, split: str) -> Example:
    name = f"{split}-{concept}-{number}"
    what = hashlib.sha256(name.encode()).hexdigest()[:30]
    prompt = f"{concept} asks [bold]{what}[/bold] of {split}"
    return Example(name, prompt, "one two three", "no", concept, split, "t")


def corpus() -> Corpus:
    examples = [
        text(number, concept, split)
        for concept in ("red_wine", "blue")
        for split, count in (("train", 4), ("validation", 1), ("test", 3))
        for number in range(count)
    ]
    question = "Which of these wines would you pour for a guest who eats fish"
    leak = [
        Example(f"leak-{split}", f"{question}{end}", "r", "s", "blue", split, "t")
        for split, end in (("train", "?"), ("test", "!"))
    ]
    return Corpus(
        (*examples, *leak), (), (), (), ("blue",),
        dropped={"contradicting_labels": 12, "duplicates": 34},
        licence="CC BY 4.0",
        sources={"wines.jsonl": {
            "repo": "someone/wines", "revision": "abc123", "sha256": "5e1f" * 16, "licence": "MIT",
        }},
        shifted=(text(0, "red_wine", "shifted"), text(0, "green", "shifted/Other wines")),
    )  # fmt: skip


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    made = corpus()
    check_corpus(made)
    write_records(CORPORA / "examples.jsonl", made.examples)
    write_records(CORPORA / "shifted.jsonl", made.shifted)
    write_records(CORPORA / "several.jsonl", made.several)
    write_manifest(CORPORA / "manifest.json", made, vars(find_near_duplicates(made.labelled)))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.setattr(sys, "argv", ["legible-data"])
    data.main()
    return capsys.readouterr().out


def line(printed: str, start: str) -> list[str]:
    (found,) = [row for row in printed.splitlines() if row.strip("│ ").startswith(start)][:1]
    return [cell.strip() for cell in found.strip("│").split("│")]


def test_concepts_with_their_texts_and_lengths(printed: str) -> None:
    """By hand: eight words of `red_wine asks ... of train / one two three`."""
    name, *numbers, words, characters = line(printed, "red wine")
    assert (name, numbers) == ("red wine", ["4", "1", "3", "1", "0"])
    texts = [f"{e.prompt}\n{e.response}" for e in corpus().labelled if e.concept == "red_wine"]
    assert words == f"{sum(len(t.split()) for t in texts) / len(texts):.1f}" == "8.0"
    assert characters == f"{sum(map(len, texts)) / len(texts):.1f}"
    assert line(printed, "blue")[1:6] == ["5", "1", "4", "0", "0"]
    assert line(printed, "green")[1:6] == ["0", "0", "0", "0", "1"]
    assert "novel" not in printed
    assert "tokens" not in printed


def test_what_was_dropped_and_why_under_which_licence(printed: str) -> None:
    assert "Dropped rows: contradicting labels 12, duplicates 34" in printed
    assert "Licence: CC BY 4.0" in printed
    assert "Harmless concepts: blue" in printed


def test_sources_and_files_with_their_digests(printed: str) -> None:
    assert line(printed, "wines.jsonl")[1:] == ["someone/wines", "5e1f" * 16]
    assert "abc123" in printed
    for name in ("examples.jsonl", "shifted.jsonl"):
        assert line(printed, name)[1] == "this corpus"


def test_near_duplicates_are_shown_with_their_splits(printed: str) -> None:
    assert "Near-duplicates across splits: 1 pair(s) among 20 prompts; 14.3% of test" in printed
    assert "train │ Which of these wines would you pour for a guest who eats fish?" in printed
    assert "test  │ Which of these wines would you pour for a guest who eats fish!" in printed


def test_texts_are_shown_as_they_are(printed: str) -> None:
    """Not as the markup of what prints them."""
    assert next(e.prompt for e in corpus().examples if e.concept == "blue") in printed


def test_harmful_texts_are_not_shown(printed: str) -> None:
    """And three texts of a concept are, at most."""
    harmful = [e.prompt for e in corpus().labelled if e.concept != "blue"]
    assert not any(prompt in printed for prompt in harmful)
    assert "(5 words; --show shows them)" in printed
    blue = [e.prompt for e in corpus().examples if e.concept == "blue" and e.id[:4] != "leak"]
    assert [prompt in printed for prompt in blue] == [n < 3 for n in range(len(blue))]


def test_tokens_are_counted_where_there_is_a_tokenizer(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"1": 0, "2": 1, "3": 2}))
    tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("a")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count = corpus_tables.token_counter(tmp_path / "tokenizer.json")
    assert count is not None
    assert count("1a2a3") == 3
    assert corpus_tables.token_counter(tmp_path / "none.json") is None


def test_faults_tokens_are_counted_whatever_a_tokenizer_cuts_or_adds_by_itself(
    tmp_path: Path,
) -> None:
    tokenizer = Tokenizer(models.WordLevel(dict(zip("<s>12", range(5), strict=True))))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count = corpus_tables.token_counter(tmp_path / "tokenizer.json")
    assert count is not None
    assert [count(text) for text in ("1", "12121", "<s>1")] == [1, 5, 4]


def test_without_corpora_one_line_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "commands.start.data"],
        cwd=tmp_path, env={"PYTHONPATH": PYTHON_PATH}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: data/corpora holds no corpora yet; run `dvc repro corpora`\n"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["legible-data"])
    CORPORA.mkdir(parents=True)
    (CORPORA / "manifest.json").write_text("{}", encoding="utf-8")
    (CORPORA / "examples.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="older version"):
        data.main()


def test_it_is_light_and_has_a_name_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["legible-data"].partition(":")
    assert getattr(import_module(module), function) is data.command
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
