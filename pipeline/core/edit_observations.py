"""What a model does before or after an edit, as files. `edits` observes, `evaluation` measures."""

from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core.files import read_json, write_json
from pipeline.core.records import (
    Agreement,
    Completion,
    Interpretation,
    Likelihood,
    read_records,
    write_records,
)

UNTOUCHED = "untouched"  # the folder of the model before any edit
# What stands beside an edit, as endings of its name, which no edit's own name can have.
INSTRUCTION, STEERING = ".instruction", ".steering"


@dataclass(frozen=True)
class Observations:
    """completions: answers to requests. likelihoods and agreements: of unrelated documents, whose
    prompts are read without an instruction; none of a model that is given one. replies and
    agreed_replies: the same of the documents' responses alone, given their prompts.
    facts: answers to the question what an unrelated message is about. interpretations: what the
    untouched model says of this model's hidden states of held-out texts. said: how likely its
    answers to each request are to the untouched model, without their divergence."""

    completions: list[Completion]
    likelihoods: list[Likelihood]
    agreements: list[Agreement]
    facts: list[Completion]
    interpretations: list[Interpretation]
    replies: list[Likelihood]
    agreed_replies: list[Agreement]
    said: list[Likelihood]


@dataclass(frozen=True)
class Match:
    """The strength of a steering vector that was chosen, in multiples of the vector; its effect and
    the edit's, on the validation texts that strengths are chosen on; and whether any strength had
    at least the edit's."""

    strength: float
    effect: float
    edit_effect: float
    is_reached: bool


def write_observations(folder: Path, observed: Observations) -> None:
    write_records(folder / "completions.jsonl", observed.completions)
    write_records(folder / "likelihoods.jsonl", observed.likelihoods)
    write_records(folder / "agreements.jsonl", observed.agreements)
    write_records(folder / "facts.jsonl", observed.facts)
    write_records(folder / "interpretations.jsonl", observed.interpretations)
    write_records(folder / "replies.jsonl", observed.replies)
    write_records(folder / "agreed_replies.jsonl", observed.agreed_replies)
    write_records(folder / "said.jsonl", observed.said)


def read_observations(folder: Path) -> Observations:
    return Observations(
        read_records(folder / "completions.jsonl", Completion),
        read_records(folder / "likelihoods.jsonl", Likelihood),
        read_records(folder / "agreements.jsonl", Agreement),
        read_records(folder / "facts.jsonl", Completion),
        read_records(folder / "interpretations.jsonl", Interpretation),
        read_records(folder / "replies.jsonl", Likelihood),
        read_records(folder / "agreed_replies.jsonl", Agreement),
        read_records(folder / "said.jsonl", Likelihood),
    )


def write_match(folder: Path, match: Match) -> None:
    write_json(folder / "match.json", asdict(match))


def read_match(folder: Path) -> Match:
    return Match(**read_json(folder / "match.json"))
