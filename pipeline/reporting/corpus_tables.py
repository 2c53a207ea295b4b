"""What the corpora hold, printed: `legible-data`."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from pipeline.core.concepts import spoken
from pipeline.core.console import InputError, run
from pipeline.core.files import read_json
from pipeline.core.paths import BASE_MODEL, CORPORA, EXAMPLES, MANIFEST, SHIFTED
from pipeline.core.records import Example, read_records

TOKENIZER = BASE_MODEL / "tokenizer.json"
SPLITS = ("train", "validation", "test", "novel", "shifted")
CHARACTERS_SHOWN = 100  # characters of a text that stands as an example


def main() -> None:
    about, first, shifted = (CORPORA / path.name for path in (MANIFEST, EXAMPLES, SHIFTED))
    if not about.is_file() or not first.is_file():
        raise InputError(f"{CORPORA} holds no corpora yet; run `dvc repro corpora`")
    manifest = read_json(about)
    current = {"near_duplicates", "sources", "harm_only"} <= manifest.keys() and shifted.is_file()
    if not current:
        raise InputError(f"{about} is of an older version; run `dvc repro corpora`")
    examples = read_records(first, Example) + read_records(shifted, Example)
    # Texts may hold what rich would read as markup.
    show(manifest, examples, Console(markup=False, emoji=False, highlight=False))


def command() -> None:
    """The console script: an InputError is one line, as for a stage."""
    run(main)


def show(manifest: Mapping[str, Any], examples: Sequence[Example], console: Console) -> None:
    console.print(concepts_table(manifest, examples, token_counter(TOKENIZER)))
    console.print(examples_table(examples))
    for title, text in summary(manifest).items():
        console.print(f"{title}: {text}")
    if manifest["near_duplicates"]["examples"]:
        console.print(near_duplicates_table(manifest, examples))
    console.print(files_table(manifest))


def concepts_table(
    manifest: Mapping[str, Any],
    examples: Sequence[Example],
    count_tokens: Callable[[str], int] | None,
) -> Table:
    """Of every concept: its texts in each split, and how long one is on average."""
    counters: dict[str, Callable[[str], int]]
    counters = {"words": lambda text: len(text.split()), "characters": len}
    if count_tokens:
        counters["tokens"] = count_tokens
    texts: dict[str, list[str]] = {}
    for example in examples:
        texts.setdefault(example.concept, []).append(f"{example.prompt}\n{example.response}")
    present = [s for s in SPLITS if any(s in rows for rows in manifest["rows"].values())]
    table = Table("concept", title="Labelled texts, and the mean length of prompt and response")
    for name in (*present, *counters):
        table.add_column(name, justify="right")
    for concept, rows in manifest["rows"].items():
        numbers = (str(rows.get(split, 0)) for split in present)
        lengths = (f"{mean(map(count, texts[concept])):.1f}" for count in counters.values())
        table.add_row(spoken(concept), *numbers, *lengths)
    return table


def examples_table(examples: Sequence[Example]) -> Table:
    """The first text of every concept."""
    first = {example.concept: example for example in reversed(examples)}
    table = Table("concept", "prompt", "response", title="For example")
    for concept, example in sorted(first.items()):
        table.add_row(spoken(concept), _short(example.prompt), _short(example.response))
    return table


def token_counter(path: Path) -> Callable[[str], int] | None:
    """How many tokens a text has, uncut and with control tokens in it as plain text; None where no
    base model has brought its tokenizer yet."""
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def summary(manifest: Mapping[str, Any]) -> dict[str, str]:
    near = manifest["near_duplicates"]
    is_there = any("shifted" in splits for splits in manifest["rows"].values())
    shifted = f", and {near['share_of_shifted']:.1%} of shifted ones" if is_there else ""
    lines = {"Harmless concepts": _named(manifest["safe"]) or "no concept means harm"}
    if manifest["harm_only"]:
        lines["Concepts of shifted texts alone, asked only whether they are harmful"] = _named(
            manifest["harm_only"]
        )
    return lines | {
        "Other texts": f"{manifest['described']} described, {manifest['requests']} requests, "
        f"documents: {_counted(manifest['documents'])}",
        "Dropped rows": _counted(manifest["dropped"]),
        "Near-duplicates across splits": f"{near['pairs']} pair(s) among {near['compared']} "
        f"prompts; {near['share_of_test']:.1%} of test prompts are nearly a training prompt"
        f"{shifted}",
        "Licence": manifest["licence"],
    }


def near_duplicates_table(manifest: Mapping[str, Any], examples: Sequence[Example]) -> Table:
    """The most similar prompts that stand in two splits."""
    by_id = {example.id: example for example in examples}
    table = Table("similarity", "split", "prompt", title="Near-duplicates")
    for one, other, similarity in manifest["near_duplicates"]["examples"]:
        for text, example in ((f"{similarity:.2f}", by_id[one]), ("", by_id[other])):
            table.add_row(text, example.split, _short(example.prompt))
        table.add_section()
    return table


def files_table(manifest: Mapping[str, Any]) -> Table:
    """Every file that was read or written, with the digest that tells it from any other."""
    table = Table("file", "of", "sha256", title="Files")
    for name, source in manifest["sources"].items():
        known = (source.get(key, "") for key in ("repo", "revision", "licence"))
        table.add_row(name, "\n".join(filter(None, known)), source.get("sha256", ""))
    for name, digest in manifest["sha256"].items():
        table.add_row(name, "this corpus", digest)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _named(concepts: Sequence[str]) -> str:
    return ", ".join(map(spoken, concepts))


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{spoken(name)} {number}" for name, number in numbers.items()) or "none"


def _short(text: str) -> str:
    """What a terminal can show: no control character of a text reaches it."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * CHARACTERS_SHOWN])
    return textwrap.shorten(shown, CHARACTERS_SHOWN, placeholder=" ...")


if __name__ == "__main__":
    run(main)
