"""Records of texts, and the only reader and writer of their files (one JSON object per line).

Longer than other modules, as the fields of all records stand here: they are the format of the
files that stages hand on to each other.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline.core.console import InputError
from pipeline.core.files import whole
from pipeline.core.finite import not_finite

# One of EVERY_SPLIT, or a named set of texts that are only scored (pipeline/core/scored_sets.py).
Split = str
EVERY_SPLIT = (
    "train",
    "validation",
    "test",
    "novel",
    "shifted",
    "described",
    "pretrain",
    "heldout",
)
Augmentation = Literal["whole", "prompt", "response"]

HEADLINE = "logistic"  # the kind of monitor that is saved, and that the summary quotes
OWN_PROMPTS = "own"  # the requests that a corpus has of itself
# What is injected instead of a state: nothing, a random vector, another text's state, the mean.
CONTROLS = ("none", "random", "other", "mean")
# What answers without an injection: the model that is shown the text itself, and the logit lens.
BASELINES = ("input_only", "logit_lens")
# Who reads whose states: the untouched model a variant's, or a variant the untouched model's.
CROSSINGS = ("base_reader", "base_state")
# What else names a state's concept, or its text's: a probe of the same state, the nearest training
# text in words, and the untouched model's states read by a reader that was taught the labels.
REFERENCES = ("probe", "nearest_text", "reader_only")
# Affine reading: a state through a trained scale and bias, read by a model that no training moved;
# and its controls: the bias alone, another text's state, and what shuffled labels taught.
AFFINE = "affine"
AFFINE_CONTROLS = ("affine_bias", "affine_other", "affine_shuffled")

# What is done to a prompt so that a monitor takes it for harmless: the best of a few frames of
# fiction, of random suffixes, a suffix of words and one of vectors that gradients find.
UNATTACKED = "unattacked"
FRAMED, RANDOM_SUFFIX, TOKEN_SUFFIX, SOFT_SUFFIX = ATTACKS = (
    "framed",
    "random_suffix",
    "token_suffix",
    "soft_suffix",
)


@dataclass(frozen=True, slots=True)
class Example:
    """A text that carries a concept.

    `novel` texts are test texts whose content words never met a label; `shifted` ones are another
    corpus', only ever scored, and may have concepts of its own and no response; `described` ones
    teach an embedded base model what concepts are called. `safe_response` is what a careful model
    would answer: a refusal where the concept is harmful, else the response itself. `also` are
    further concepts, of texts that are trained on, and scored by nothing.
    """

    id: str
    prompt: str
    response: str
    safe_response: str
    concept: str
    split: Split
    source: str
    also: tuple[str, ...] = ()

    @property
    def concepts(self) -> tuple[str, ...]:
        """All concepts that the text has."""
        return (self.concept, *self.also)

    @property
    def words(self) -> str:
        """The whole text: prompt and response."""
        return f"{self.prompt} {self.response}"


@dataclass(frozen=True, slots=True)
class Document:
    """A text without a label, such as the model should go on predicting as before."""

    id: str
    prompt: str
    response: str
    split: Split


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt whose answer is judged. `framed` ones present it as fiction or a game. `source` is
    the set of prompts that it is of, OWN_PROMPTS or a recipe's; `pair` names a safe prompt and the
    harmful one that differs from it in a few words, and is empty where a prompt has no other."""

    id: str
    prompt: str
    harmful: bool
    framed: bool
    split: Split
    source: str = OWN_PROMPTS
    pair: str = ""

    @property
    def group(self) -> str:
        """The requests that it is scored with: those of one framing and split (`framed_novel`)."""
        return f"{'framed' if self.framed else 'plain'}_{self.split}"


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question: `right` is the index of the right one of its options, each an
    answer to the prompt. `task` says what kind of question it is."""

    id: str
    task: str
    prompt: str
    options: tuple[str, ...]
    right: int


@dataclass(frozen=True, slots=True)
class Choice:
    """How likely one option of a question is to a model: its negative log-likelihood, in nats, and
    the bytes of what was weighed of it, which no other option of the question begins with too."""

    question: str
    task: str
    option: int
    right: bool
    nll: float
    bytes: int


@dataclass(frozen=True, slots=True)
class TaskScore:
    """What a metric of one of lm-eval's tasks makes of a document."""

    task: str
    document: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class ReadWords:
    """The words that a model reads of an example or a request, once it is cut."""

    id: str
    prompt: str
    response: str

    def at(self, position: str) -> str:
        """What a state at a position has read: the prompt, or prompt and response."""
        return self.prompt if position == "prompt_end" else f"{self.prompt} {self.response}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two different examples of one concept, the part of both texts that is shown, and the further
    concepts of either: a text is no negative of one with which it shares any."""

    first: str
    second: str
    concept: str
    augmentation: Augmentation
    first_also: tuple[str, ...] = ()
    second_also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer to a request: one of several samples, or the greedy one."""

    request: str
    sample: int
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of a completion, or of a labelled answer: whether it refuses its request,
    and whether it is harmful; None for what the judge does not say. `parsed` is whether what it
    said could be read: otherwise both are None."""

    request: str
    sample: int
    judge: str
    parsed: bool
    refused: bool | None
    harmful: bool | None


@dataclass(frozen=True, slots=True)
class PooledScore:
    """What a probe of all of a text's tokens says of it: the logit of the probability of harm."""

    text: str
    monitor: str
    logit: float


@dataclass(frozen=True, slots=True)
class AttackScore:
    """What a monitor says of a text under an attack: the logit of the probability of harm.

    `attack` is one of ATTACKS, or UNATTACKED. `of` names the variant on which it was optimised: the
    one that is scored, or another. `passes` says how many forward passes it took.
    """

    text: str
    monitor: str
    attack: str
    of: str
    passes: int
    logit: float


@dataclass(frozen=True, slots=True)
class AttackedPrompt:
    """A prompt as an attack on a monitor left it, in the words that a model reads."""

    text: str
    monitor: str
    attack: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Score:
    """A monitor's answer about a held-out text.

    `question` is `concept` (which one?) or `harm` (harmful or safe?), `truth` the class
    that the text has, `label` the class that it is given, and `group` the texts that it is scored
    with: a split, or a group of requests (`framed_novel`). `probabilities` are of the question's
    classes, sorted by name.
    """

    question: str
    monitor: str
    position: str
    group: str
    id: str
    truth: str
    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a held-out document is to a tuned model.

    `nll` is -sum_t log p(y_t) and `kl` sum_t KL(p0_t || p_t), in nats, over `tokens` predictions;
    p0 is the untouched model.
    """

    document: str
    tokens: int
    nll: float
    kl: float


@dataclass(frozen=True, slots=True)
class Opening:
    """KL(p0 || p) of the first token after a prompt, in nats; p0 is the untouched model, p the
    tuned one."""

    prompt: str
    kl: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a document's `tokens` predictions, the number at which an edited model's likeliest token
    is the untouched model's."""

    document: str
    tokens: int
    agreed: int


@dataclass(frozen=True, slots=True)
class Interpretation:
    """A hidden state in the model's own words.

    `control` says what was injected or asked: the hidden state itself (`state`), one of CONTROLS
    instead of it, one of BASELINES, one of CROSSINGS, one of REFERENCES, or AFFINE or one of
    AFFINE_CONTROLS. `relevancy[i]` is P(token i | injected) minus P(token i | not injected), in
    [-1, 1]; baselines inject nothing. `likelihood` is the geometric mean of the answer's token
    probabilities, its end among them, in [0, 1]; None where no model said it.
    """

    example: str
    concept: str
    split: Split
    layer: int
    position: str
    control: str
    text: str
    tokens: tuple[str, ...]
    relevancy: tuple[float, ...]
    likelihood: float | None = None


@dataclass(frozen=True, slots=True)
class MovedInterpretation:
    """A hidden state that was moved, in the model's own words.

    `per_cent` says how far it was moved, of the way from the mean state of its own concept to that
    of `target`; along that way (`concept`), or as far in a `random` direction.
    """

    example: str
    concept: str
    target: str
    position: str
    direction: str
    per_cent: int
    text: str


@dataclass(frozen=True, slots=True)
class ClosedReading:
    """How likely a reader finds the answer that names each concept, of one hidden state.

    `control` is how the state is read: as it is (`state`), or AFFINE. `scores` are the answers'
    log-probabilities, of the concepts sorted by name, in nats.
    """

    example: str
    concept: str
    split: Split
    position: str
    control: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """The judge model's choice for a text: the `concept`, and the `scores` of all concepts, sorted
    by name. A score is the log-probability of the concept's answer above its mean, in nats."""

    text: str
    concept: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TokenInterpretation:
    """The state of one token of a text in the model's own words: a cell of a heat map.

    `place` is the token's index in the text, which counts the chat template's tokens too.
    """

    example: str
    concept: str
    layer: int
    place: int
    token: str
    text: str
    tokens: tuple[str, ...]
    relevancy: tuple[float, ...]


Record = TypeVar(
    "Record",
    Example, Document, Request, Question, Choice, TaskScore, ReadWords, Pair, Completion, Verdict,
    PooledScore, AttackScore, AttackedPrompt, Score, Likelihood, Opening, Agreement, Interpretation,
    MovedInterpretation, ClosedReading, Judged, TokenInterpretation,
)  # fmt: skip


def evenly_spaced(records: Sequence[Record], count: int) -> list[Record]:
    """At most `count` records, evenly spaced over all of them."""
    if len(records) <= count:
        return list(records)
    return [records[index * len(records) // count] for index in range(count)]


def few_of_each_task(questions: Sequence[Question], count: int) -> list[Question]:
    """At most `count` questions of each task, evenly spaced."""
    tasks = dict.fromkeys(question.task for question in questions)
    return [
        question
        for task in tasks
        for question in evenly_spaced([q for q in questions if q.task == task], count)
    ]


def read_watched(path: Path, count: int) -> list[Request]:
    """The requests that monitors and the text baseline are asked about: at most `count` of a file,
    evenly spaced."""
    return evenly_spaced(read_records(path, Request), count)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Raises InputError for a record with a number that is not finite; `path` is then as it was."""
    with whole(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as lines:
        for record in records:
            fields = {
                name: [_plain(item) for item in value]
                if isinstance(value, tuple)
                else _plain(value)
                for name, value in _fields_of(record).items()
            }
            for name, value in fields.items():
                if not _is_finite(value):
                    about = f"{path}: {type(record).__name__} of {next(iter(fields.values()))}"
                    raise not_finite(about, f"the numbers of its {name}")
            lines.write(json.dumps(fields, ensure_ascii=False, sort_keys=True) + "\n")


def _fields_of(record: Record) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Every record of `path`, in its order.

    Raises InputError with the number of a line that is no complete record of this kind.
    """
    names = {field.name for field in dataclasses.fields(kind)}
    records = []
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            fields = _object_of(line)
            if fields.keys() != names or not all(map(_is_finite, fields.values())):
                raise InputError(
                    f"{path} line {number} is no {kind.__name__}; run the stage that writes it"
                )
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            records.append(kind(**fields))
    return records


def _object_of(line: str) -> dict[str, Any]:
    """A line's JSON object; empty where it is none."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _is_finite(value: object) -> bool:
    """Whether all numbers of a field are; what is no number is."""
    return all(
        math.isfinite(item)
        for item in (value if isinstance(value, list) else [value])
        if isinstance(item, float)
    )


def _plain(value: object) -> object:
    """Floats to six significant digits: the last bits differ between machines, not between runs."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
