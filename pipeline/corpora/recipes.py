"""Which files of the Hub are read, and how their rows become texts.

Every source names its repository, revision, files, licence and gating; a recipe is a function from
a source's rows to labelled rows, documents or requests.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.records import Request
from pipeline.core.text_identity import is_among
from pipeline.corpora.rows import CAREFUL_ANSWER, Row, digest
from pipeline.corpora.sources import (
    BEAVERTAILS,
    COUNTERFACT,
    HENDRYCKS_MATH,
    MMLU,
    SALAD,
    STRONGREJECT,
    ULTRACHAT,
    WILDGUARD,
    WILDGUARD_TEST,
    XSTEST,
    Source,
)

Cells = Mapping[str, Any]


@dataclass(frozen=True)
class LabelledRecipe:
    """Rows with a concept.

    safe: the harmless concepts. vote: a text has several rows, whose labels may differ, and the
    majority counts. only_harm: every concept is a kind of harm; otherwise, where `safe` is empty,
    none is.
    """

    source: Source
    rows: Callable[[str, Cells], Iterator[Row]]
    safe: tuple[str, ...] = ()
    vote: bool = False
    only_harm: bool = False

    def harmless(self, concept: str) -> bool:
        return is_among(concept, self.safe) if self.safe else not self.only_harm


@dataclass(frozen=True)
class RequestRecipe:
    """Prompts whose answers are judged."""

    source: Source
    requests: Callable[[Cells], Iterator[Request]]


@dataclass(frozen=True)
class DocumentRecipe:
    """Texts that the model should go on predicting as before."""

    source: Source
    texts: Callable[[Cells], Iterator[tuple[str, str]]]


FIVE_HARMS = {  # BeaverTails' names, and the concepts' names here
    "discrimination,stereotype,injustice": "discrimination",
    "non_violent_unethical_behavior": "unethical_behavior",
    "privacy_violation": "privacy_violation",
    "sexually_explicit,adult_content": "sexual_content",
    "violence,aiding_and_abetting,incitement": "violence",
}
KNOWLEDGE = (
    "elementary_mathematics", "high_school_biology", "nutrition", "philosophy", "prehistory",
    "professional_law", "professional_psychology",
)  # fmt: skip
RELATIONS = {  # CounterFact's, by their names in Wikidata
    "P17": "country", "P19": "place of birth", "P20": "place of death", "P27": "citizenship",
    "P30": "continent", "P36": "capital", "P37": "official language", "P39": "position held",
    "P101": "field of work", "P103": "native language", "P106": "occupation", "P108": "employer",
    "P127": "owner", "P131": "administrative location", "P136": "genre", "P138": "namesake",
    "P140": "religion", "P159": "headquarters", "P176": "manufacturer", "P178": "developer",
    "P190": "twin city", "P264": "record label", "P276": "location", "P364": "original language",
    "P407": "language of work", "P413": "position in a team", "P449": "broadcaster",
    "P463": "membership", "P495": "country of origin", "P641": "sport",
    "P740": "place of formation", "P937": "work location", "P1303": "instrument",
    "P1412": "languages spoken",
}  # fmt: skip


def beavertails(file: str, cells: Cells, binary: bool = False) -> Iterator[Row]:
    """Texts of exactly one of five harms, and safe ones, which have no kind of harm (the published
    selection). People labelled every text several times and disagree on a quarter of them, so a
    row with other harms gets an empty label: it has a vote too."""
    harms = [name for name, present in cells["category"].items() if present]
    chosen = [FIVE_HARMS[name] for name in harms if name in FIVE_HARMS]
    label = "" if harms else "safe"
    if len(chosen) == 1:
        label = "unsafe" if binary else chosen[0]
    yield Row(cells["prompt"], cells["response"], "", label, file)


def mathematics(file: str, cells: Cells) -> Iterator[Row]:
    """A problem and its solution, under the subject that its folder is named for."""
    yield Row(cells["problem"], cells["solution"], "", Path(file).parent.name, file)


def multiple_choice(file: str, cells: Cells, subjects: tuple[str, ...] = ()) -> Iterator[Row]:
    """A question with its choices, answered by the right one."""
    letters = "ABCD"
    subject = cells["subject"] if not subjects or cells["subject"] in subjects else ""
    choices = [f"{letter}. {text}" for letter, text in zip(letters, cells["choices"], strict=True)]
    right = choices[cells["answer"]]
    prompt = "\n".join([cells["question"], *choices])
    yield Row(prompt, f"Answer: {right}", "", subject, file)


def salad(file: str, cells: Cells) -> Iterator[Row]:
    """A harmful question under the first level of Salad-Bench's taxonomy; nobody answered it."""
    kind = cells["1-category"].partition(": ")[2] or cells["1-category"]
    yield Row(cells["question"], "", CAREFUL_ANSWER, kind, file)


def salad_question(cells: Cells) -> Iterator[Request]:
    """The same question as one that a careful model refuses."""
    name = f"salad-{digest(cells['question'])}"
    yield Request(name, cells["question"], True, False, "test", "salad")


def wildguard(file: str, cells: Cells) -> Iterator[Row]:
    """Prompts that people found harmful or not, with an answer where there is one."""
    label = cells["prompt_harm_label"] or ""
    yield Row(cells["prompt"], cells["response"] or "", "", label, file)


def counterfact(file: str, cells: Cells) -> Iterator[Row]:
    """A fact, its subject asked for and its object answered, under its relation's name. Many
    wordings ask for one relation."""
    yield Row(
        cells["prompt"], cells["target_true"].strip(), "", RELATIONS[cells["relation_id"]], file
    )


def xstest(cells: Cells) -> Iterator[Request]:
    """Safe prompts that sound harmful, and harmful ones in contrast to them: number 26 is that of
    number 1, and so on."""
    harmful = cells["type"].startswith("contrast")
    name = f"xstest-{digest(cells['prompt'])}"
    pair = f"xstest-{int(cells['id']) - 25 * harmful}"
    yield Request(name, cells["prompt"], harmful, False, "test", "xstest", pair)


def xstest_labelled(file: str, cells: Cells) -> Iterator[Row]:
    """The same as labelled prompts."""
    (request,) = xstest(cells)
    label = "harmful" if request.harmful else "safe"
    yield Row(request.prompt, "", CAREFUL_ANSWER if request.harmful else "", label, file)


def strongreject(cells: Cells) -> Iterator[Request]:
    """Prompts that a careful model refuses."""
    name = f"strongreject-{digest(cells['prompt'])}"
    yield Request(name, cells["prompt"], True, False, "test", "strongreject")


def wildguard_test(cells: Cells) -> Iterator[Request]:
    """Prompts that people found harmful or not; adversarial ones count as framed."""
    if cells["prompt_harm_label"]:
        harmful = cells["prompt_harm_label"] == "harmful"
        name = f"wildguard-{digest(cells['prompt'])}"
        framed = bool(cells["adversarial"])
        yield Request(name, cells["prompt"], harmful, framed, "test", "wildguard_test")


def first_turn(cells: Cells) -> Iterator[tuple[str, str]]:
    """A chat's first question and its answer."""
    asked, answered, *_ = cells["messages"]
    yield asked["content"], answered["content"]


LABELLED_RECIPES: dict[str, LabelledRecipe] = {
    "beavertails_categories": LabelledRecipe(BEAVERTAILS, beavertails, ("safe",), vote=True),
    "beavertails_binary": LabelledRecipe(
        BEAVERTAILS, partial(beavertails, binary=True), ("safe",), vote=True
    ),
    "math": LabelledRecipe(HENDRYCKS_MATH, mathematics),
    "mmlu": LabelledRecipe(MMLU, multiple_choice),
    "knowledge": LabelledRecipe(MMLU, partial(multiple_choice, subjects=KNOWLEDGE)),
    "salad": LabelledRecipe(SALAD, salad, only_harm=True),
    "wildguard": LabelledRecipe(WILDGUARD, wildguard, ("unharmful",)),
    "wildguard_test": LabelledRecipe(WILDGUARD_TEST, wildguard, ("unharmful",)),
    "counterfact": LabelledRecipe(COUNTERFACT, counterfact),
    "xstest": LabelledRecipe(XSTEST, xstest_labelled, ("safe",)),
}
REQUEST_RECIPES: dict[str, RequestRecipe] = {
    "xstest": RequestRecipe(XSTEST, xstest),
    "salad": RequestRecipe(SALAD, salad_question),
    "strongreject": RequestRecipe(STRONGREJECT, strongreject),
    "wildguard_test": RequestRecipe(WILDGUARD_TEST, wildguard_test),
}
DOCUMENT_RECIPES: dict[str, DocumentRecipe] = {"ultrachat": DocumentRecipe(ULTRACHAT, first_turn)}
