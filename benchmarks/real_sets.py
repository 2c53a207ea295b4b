"""Sets of labelled texts that people wrote, as a folder of tables that the pipeline reads: one to
learn from, and others that are only scored.

    .venv/bin/python -m benchmarks.real_sets --data a/folder --learn beavertails --out work/texts
"""

import argparse
import csv
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.real_corpora import CORPORA, RealCorpus, groups_of
from pipeline.core.console import InputError, run
from pipeline.core.files import whole
from pipeline.core.records import Example
from pipeline.core.text_identity import first_of_each, normalised
from pipeline.corpora.rows import digest

SAFE = ("safe", "harmless")  # what the tables call texts without harm
# Of thousands of harmless instructions, those with the smallest digests: enough that 1 % false
# alarms among them has an interval.
HARMLESS = 2000
BESIDE = 1000  # harmless instructions beside goals: 1 % false alarms among so many has an interval
FLAGS = (
    "S",
    "H",
    "V",
    "HR",
    "SH",
    "S3",
    "H2",
    "V2",
)  # of moderation; one that is absent is unknown


class LabelledText(NamedTuple):
    """A response is empty where nobody gave one, a concept where it is not known."""

    prompt: str
    response: str
    concept: str


def beavertails(folder: Path) -> Iterator[LabelledText]:
    """Prompts with answers, of five kinds of harm and without."""
    corpus: RealCorpus = CORPORA["beavertails"]
    for row in corpus.rows(folder):
        yield LabelledText(row.prompt, row.response, row.label)


def refusal(folder: Path) -> Iterator[LabelledText]:
    """Instructions, harmful and harmless, without goals of `jailbreaks`, many of which stand among
    them word for word, and without the harmless instructions beside those."""
    goals = {normalised(goal) for goal, _ in jailbreaks_of_goals(folder)}
    for part in ("train", "val", "test"):
        for given in _json(folder, f"refusal/harmful_{part}.json"):
            if normalised(given["instruction"]) not in goals:
                yield LabelledText(given["instruction"], "", "harmful")
    for text in _harmless(folder)[:HARMLESS]:
        yield LabelledText(text, "", "harmless")


def xstest(folder: Path) -> Iterator[LabelledText]:
    """Safe prompts that sound harmful, and their unsafe contrasts."""
    with _there(folder, "xstest/xstest_prompts.csv").open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            yield LabelledText(cells["prompt"], "", cells["label"])


def moderation(folder: Path) -> Iterator[LabelledText]:
    """Prompts under several flags: harmful under any, harmless where none is set and all are known;
    not known where none is set and any is unknown."""
    path = _there(folder, "moderation/samples-1680.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            given = json.loads(line)
            yield LabelledText(given["prompt"], "", flagged([given.get(flag) for flag in FLAGS]))


def flagged(flags: list[int | None]) -> str:
    """What flags of 1, 0 and None, which is unknown, make of a text together."""
    if any(flags):
        return "flagged"
    return "" if None in flags else "safe"


def jailbreaks(folder: Path) -> Iterator[LabelledText]:
    """Prompts that an attacker model made of harmful goals, and as many harmless instructions."""
    found = [prompt for _, prompt in jailbreaks_of_goals(folder)]
    yield from (LabelledText(text, "", "jailbreak") for text in found)
    yield from (LabelledText(text, "", "harmless") for text in spare_harmless(folder, len(found)))


def jailbreaks_of_goals(folder: Path, succeeded: bool = False) -> list[tuple[str, str]]:
    """Harmful goals in plain words, each with the prompt that an attacker model made of it; without
    those of which it made none, or, if asked, none that the attacked model fell for."""
    given = _json(folder, "jailbreaks/pair_vicuna.json")["jailbreaks"]
    wanted = (one for one in given if one["jailbroken"] or not succeeded)
    return [(one["goal"], one["prompt"]) for one in wanted if one["prompt"] is not None]


def spare_harmless(folder: Path, count: int) -> list[str]:
    """Harmless instructions that `refusal` leaves to others."""
    return _harmless(folder)[HARMLESS : HARMLESS + count]


SETS: dict[str, Callable[[Path], Iterator[LabelledText]]] = {
    "beavertails": beavertails,
    "refusal": refusal,
    "xstest": xstest,
    "moderation": moderation,
    "jailbreaks": jailbreaks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets' files")
    parser.add_argument("--learn", choices=SETS, required=True, help="the set to learn from")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    options = parser.parse_args()
    write_sets(options.data, options.learn, options.out)


def write_sets(data: Path, learn: str, out: Path) -> None:
    """One table of each set: that which is learned from, and every other as `shifted/NAME`."""
    with whole(out) as draft:
        for name, read in SETS.items():
            folder = draft if name == learn else draft / "shifted" / name
            folder.mkdir(parents=True, exist_ok=True)
            texts = list(read(data))
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)
                table.writerow(LabelledText._fields)
                table.writerows(texts)


class Goals(NamedTuple):
    """Plain requests, and by their ids the jailbreak that was made of each; harmless instructions
    beside them, which nobody framed."""

    plain: list[Example]
    jailbreaks: dict[str, str]
    harmless: list[Example]


def goals_of(data: Path, known: set[str], safe: str) -> Goals:
    """The goals whose jailbreak worked, but for those that are nearly a prompt that was learned
    from (known, as normalised), with harmless instructions that are in no set."""
    every = jailbreaks_of_goals(data, succeeded=True)
    groups = groups_of([*known, *(goal for goal, _ in every)])
    learned = set(groups[: len(known)])
    own = groups[len(known) :]
    found = [pair for pair, group in zip(every, own, strict=True) if group not in learned]

    def example(number: int, prompt: str, concept: str) -> Example:
        return Example(f"{concept}-{number:03d}", prompt, "", "", concept, "test", "")

    plain = [example(number, goal, "goal") for number, (goal, _) in enumerate(found)]
    harmless = [
        example(number, prompt, safe)
        for number, prompt in enumerate(spare_harmless(data, len(found) + BESIDE)[len(found) :])
    ]
    made = {one.id: prompt for one, (_, prompt) in zip(plain, found, strict=True)}
    return Goals(plain, made, harmless)


def _harmless(folder: Path) -> list[str]:
    """Harmless instructions in the order of their digests, each once."""
    texts = [given["instruction"] for given in _json(folder, "refusal/harmless_test.json")]
    return sorted(first_of_each(texts, str), key=lambda text: digest(normalised(text)))


def _json(folder: Path, name: str) -> Any:
    return json.loads(_there(folder, name).read_text(encoding="utf-8"))


def _there(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise InputError(f"{folder / name} is missing; name the folder that holds it")
    return folder / name


if __name__ == "__main__":
    run(main)
