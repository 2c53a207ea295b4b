"""What the corpora hold, as tables on a terminal."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from pipeline.core.concepts import spoken
from pipeline.core.records import Example, evenly_spaced
from pipeline.core.sections import Text

FIRST_SPLITS = ("train", "validation", "test", "novel")
CHARACTERS_SHOWN = 100  # characters of a text that stands as an example
TEXTS_SHOWN = 3  # texts of a concept
MOST_COUNTED = 5000  # texts whose tokens are counted

Show = Callable[[Example], bool]
"""Whether a text may be shown: harmful ones only where someone asked for it."""


def show_corpus(
    manifest: Mapping[str, Any],
    examples: Sequence[Example],
    console: Console,
    *,
    cut: Text,
    count_tokens: Callable[[str], int] | None = None,
    show_harmful: bool = False,
) -> None:
    """Print what a corpus holds, as its manifest and its texts have it. cut: of long texts."""

    def is_shown(example: Example) -> bool:
        harmless = manifest["safe"]
        return show_harmful or not harmless or all(c in harmless for c in example.concepts)

    console.print(concepts_table(manifest, examples, count_tokens))
    console.print(examples_table(examples, is_shown))
    if count_tokens:
        console.print(lengths_table(examples, count_tokens, cut))
    for title, text in summary(manifest).items():
        console.print(f"{title}: {text}")
    if not count_tokens:
        console.print("Tokens are counted as soon as the model's tokenizer is here.")
    if manifest["near_duplicates"]["examples"]:
        console.print(near_duplicates_table(manifest, examples, is_shown))
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
    splits = (*FIRST_SPLITS, *manifest["sets"])
    present = [s for s in splits if any(s in rows for rows in manifest["rows"].values())]
    table = Table("concept", title="Labelled texts, and the mean length of prompt and response")
    for name in (*present, *counters):
        table.add_column(name, justify="right")
    for concept, rows in manifest["rows"].items():
        numbers = (str(rows.get(split, 0)) for split in present)
        lengths = (f"{mean(map(count, texts[concept])):.1f}" for count in counters.values())
        table.add_row(spoken(concept), *numbers, *lengths)
    return table


def examples_table(examples: Sequence[Example], is_shown: Show) -> Table:
    """The first texts of every concept."""
    first: dict[str, list[Example]] = {}
    for example in examples:
        first.setdefault(" + ".join(map(spoken, example.concepts)), []).append(example)
    table = Table("concept", "prompt", "response", title="For example")
    for concept, texts in sorted(first.items()):
        for name, text in zip((concept, "", ""), texts[:TEXTS_SHOWN], strict=False):
            table.add_row(name, *_shown((text.prompt, text.response), is_shown(text)))
        table.add_section()
    return table


def lengths_table(
    examples: Sequence[Example], count_tokens: Callable[[str], int], cut: Text
) -> Table:
    """How many tokens prompts and responses have, and how many texts are cut."""
    table = Table("tokens of", title="Lengths, and the cut of long texts")
    for name in ("median", "95 %", "longest", "cut to", "texts cut"):
        table.add_column(name, justify="right")
    chosen = evenly_spaced(examples, MOST_COUNTED)
    for name, most in (("prompt", cut.prompt_tokens), ("response", cut.response_tokens)):
        lengths = [count_tokens(text) for e in chosen if (text := getattr(e, name))]
        if not lengths:
            continue
        ranks = quantiles(lengths, n=20, method="inclusive") if len(lengths) > 1 else lengths * 19
        share = sum(length > most for length in lengths) / len(lengths)
        numbers = (f"{ranks[9]:.0f}", f"{ranks[18]:.0f}", str(max(lengths)))
        table.add_row(name, *numbers, f"{most} (text.{name}_tokens)", f"{share:.1%}")
    return table


def token_counter(path: Path) -> Callable[[str], int] | None:
    """How many tokens a text has, uncut and with control tokens in it as plain text; None where the
    tokenizer is not there."""
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def summary(manifest: Mapping[str, Any]) -> dict[str, str]:
    near = manifest["near_duplicates"]
    shifted = f", and {near['share_of_shifted']:.1%} of shifted ones" if manifest["sets"] else ""
    lines = {"Harmless concepts": _named(manifest["safe"]) or "no concept means harm"}
    if manifest["harm_only"]:
        lines["Concepts of shifted texts alone, asked only whether they are harmful"] = _named(
            manifest["harm_only"]
        )
    if manifest["prompts_alone"]:
        lines["Without answers, read at the prompt's end"] = ", ".join(manifest["prompts_alone"])
    if "of_several_concepts" in manifest:
        lines["Texts of several concepts, trained on and scored by nothing"] = str(
            manifest["of_several_concepts"]
        )
    return (
        lines
        | {
            "Other texts": f"{manifest['described']} described, {manifest['requests']} requests, "
            f"documents: {_counted(manifest['documents'])}",
            "Dropped rows": _counted(manifest["dropped"]),
        }
        | ({"Read as meant": _counted(manifest["as_meant"])} if "as_meant" in manifest else {})
        | {
            "Near-duplicates across splits": f"{near['pairs']} pair(s) among {near['compared']} "
            f"prompts; {near['share_of_test']:.1%} of test prompts are nearly a training prompt"
            f"{shifted}",
            "Licence": manifest["licence"],
        }
    )


def near_duplicates_table(
    manifest: Mapping[str, Any], examples: Sequence[Example], is_shown: Show
) -> Table:
    """The most similar prompts that stand in two splits."""
    by_id = {example.id: example for example in examples}
    table = Table("similarity", "split", "prompt", title="Near-duplicates")
    for one, other, similarity in manifest["near_duplicates"]["examples"]:
        for text, example in ((f"{similarity:.2f}", by_id[one]), ("", by_id[other])):
            table.add_row(text, example.split, *_shown((example.prompt,), is_shown(example)))
        table.add_section()
    return table


def files_table(manifest: Mapping[str, Any]) -> Table:
    """Every file that was read or written, with the digest that tells it from any other."""
    table = Table("file", "of", "sha256", title="Files")
    for name, source in manifest["sources"].items():
        known = (source.get(key, "") for key in ("repo", "revision", "licence"))
        table.add_row(name, "\n".join(filter(None, known)), source.get("sha256", ""))
    for name, digest in manifest.get("sha256", {}).items():
        table.add_row(name, "this corpus", digest)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _named(concepts: Sequence[str]) -> str:
    return ", ".join(map(spoken, concepts))


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{spoken(name)} {number}" for name, number in numbers.items()) or "none"


def _shown(texts: Sequence[str], is_shown: bool) -> list[str]:
    """What a terminal can show: no control character of a text reaches it."""
    if not is_shown:
        return [f"({len(text.split())} words; --show shows them)" if text else "" for text in texts]
    plain = [
        "".join(c if c.isprintable() else " " for c in text[: 4 * CHARACTERS_SHOWN])
        for text in texts
    ]
    return [textwrap.shorten(text, CHARACTERS_SHOWN, placeholder=" ...") for text in plain]
