"""A monitor that reads a prompt's end has not seen the answer, and nothing that is put beside it
has."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.paths import EXAMPLES, METRICS, READ_WORDS, SCORES, SHIFTED, STREAMS
from pipeline.core.records import Example, ReadWords, read_records, write_records
from tests.support.clones import Edit


def test_answers_change_nothing_where_the_prompts_end_is_read(clone: Path, edited: Edit) -> None:
    """Neither what pooled probes say, nor the judge of the cascade, nor any number of monitors;
    while they do where the answer's end is read. States are those of the run."""
    texts = [clone / path for path in (EXAMPLES, SHIFTED, READ_WORDS)]
    as_they_are = {path: path.read_bytes() for path in texts}
    changed = {}
    for position in ("prompt_end", "last"):
        edited(lambda tree, at=position: tree["reading"].update(position=at))  # type: ignore[misc]
        before = said_of_harm(clone)
        answer_otherwise(clone)
        after = said_of_harm(clone)
        for path, words in as_they_are.items():
            path.write_bytes(words)
        assert before, "something is said"
        changed[position] = {name for name, said in before.items() if said != after[name]}
    assert changed["prompt_end"] == set()
    assert any("pooled" in name for name in changed["last"])
    assert any("cascade" in name for name in changed["last"])


def said_of_harm(clone: Path) -> dict[str, object]:
    """What the stages `streams` and `monitors` write of texts; running answers, which are read as
    they are given, are left out."""
    for stage in ("streams", "monitors"):
        subprocess.run(
            [sys.executable, "-m", f"stages.{stage}"], cwd=clone, check=True, capture_output=True
        )
    written = [*(clone / STREAMS).glob("*.pooled.jsonl"), *(clone / SCORES).glob("*.jsonl")]
    said: dict[str, object] = {path.name: path.read_bytes() for path in written}
    for path in (clone / METRICS / "monitors").glob("*.json"):
        tree = json.loads(path.read_text(encoding="utf-8"))
        said |= {f"{path.stem}: {part}": own for part, own in unstreamed(tree).items()}
    return said


def unstreamed(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        part: unstreamed(own) if part == "difference" else own
        for part, own in tree.items()
        if part != "streaming"
    }


def answer_otherwise(clone: Path) -> None:
    """Give every text another answer, which is longer for harmful ones, so that it tells harm."""
    other = {}
    for path in (clone / EXAMPLES, clone / SHIFTED):
        texts = read_records(path, Example)
        other |= {e.id: "yes " * (3 + 3 * (e.concept != "safe")) + e.id for e in texts}
        write_records(path, [replace(e, response=other[e.id]) for e in texts])
    read = read_records(clone / READ_WORDS, ReadWords)
    write_records(
        clone / READ_WORDS,
        [replace(words, response=other.get(words.id, words.response)) for words in read],
    )
