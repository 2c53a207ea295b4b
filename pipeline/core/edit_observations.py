"""What a model does before or after an edit, as files. `edits` observes, `evaluation` measures."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.records import (
    Agreement,
    Completion,
    Interpretation,
    Likelihood,
    read_records,
    write_records,
)

UNTOUCHED = "untouched"  # the folder of the model before any edit


@dataclass(frozen=True)
class Observations:
    """completions: answers to requests. likelihoods and agreements: of unrelated documents.
    facts: answers to the question what an unrelated message is about. interpretations: what the
    untouched model says of this model's hidden states of held-out texts."""

    completions: list[Completion]
    likelihoods: list[Likelihood]
    agreements: list[Agreement]
    facts: list[Completion]
    interpretations: list[Interpretation]


def write_observations(folder: Path, observed: Observations) -> None:
    write_records(folder / "completions.jsonl", observed.completions)
    write_records(folder / "likelihoods.jsonl", observed.likelihoods)
    write_records(folder / "agreements.jsonl", observed.agreements)
    write_records(folder / "facts.jsonl", observed.facts)
    write_records(folder / "interpretations.jsonl", observed.interpretations)


def read_observations(folder: Path) -> Observations:
    return Observations(
        read_records(folder / "completions.jsonl", Completion),
        read_records(folder / "likelihoods.jsonl", Likelihood),
        read_records(folder / "agreements.jsonl", Agreement),
        read_records(folder / "facts.jsonl", Completion),
        read_records(folder / "interpretations.jsonl", Interpretation),
    )
