"""Which files of the Hub are read, and how their rows become texts.

Every source names its repository, revision, files, licence and gating; a recipe is a function from
a source's rows to labelled rows, documents or requests. Longer than other modules, as it is the
list of all sources.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.records import Request
from pipeline.corpora.rows import CAREFUL_ANSWER, Row

Cells = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """Files of one dataset repository, each by its path, or a pattern that one path matches, and
    its SHA-256 digest ("" where it is not known: the first fetch locks it)."""

    repo: str
    revision: str
    files: tuple[tuple[str, str], ...]
    licence: str
    gated: bool = False


@dataclass(frozen=True)
class Labelled:
    """Rows with a concept. `safe` names harmless concepts; `vote`: repeats of a text are labelled
    by people who disagree, and the majority counts; `only_harm`: every concept is a kind of harm,
    where otherwise none is if none is safe."""

    source: Source
    rows: Callable[[str, Cells], Iterator[Row]]
    safe: tuple[str, ...] = ()
    vote: bool = False
    only_harm: bool = False

    def harmless(self, concept: str) -> bool:
        return concept in self.safe if self.safe else not self.only_harm


@dataclass(frozen=True)
class Asked:
    """Prompts whose answers are judged."""

    source: Source
    requests: Callable[[Cells], Iterator[Request]]


@dataclass(frozen=True)
class Told:
    """Texts that the model should go on reading as before."""

    source: Source
    texts: Callable[[Cells], Iterator[tuple[str, str]]]


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


FIVE_HARMS = {  # what BeaverTails calls them, and what a model would
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
MATH = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
    "prealgebra", "precalculus",
)  # fmt: skip


def beavertails(file: str, cells: Cells, binary: bool = False) -> Iterator[Row]:
    """Texts of exactly one of five harms, and safe ones, which have no kind of harm (the published
    selection). People labelled every text several times, and disagree on a quarter of them: what
    they say of other harms has a vote too."""
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
    """Safe prompts that sound harmful, and harmful ones that contrast with them."""
    harmful = cells["type"].startswith("contrast")
    yield Request(f"xstest-{digest(cells['prompt'])}", cells["prompt"], harmful, False, "test")


def strongreject(cells: Cells) -> Iterator[Request]:
    """Prompts that a careful model refuses."""
    yield Request(f"strongreject-{digest(cells['prompt'])}", cells["prompt"], True, False, "test")


def wildguard_test(cells: Cells) -> Iterator[Request]:
    """Prompts that people found harmful or not; adversarial ones dress what they ask for."""
    if cells["prompt_harm_label"]:
        harmful = cells["prompt_harm_label"] == "harmful"
        name = f"wildguard-{digest(cells['prompt'])}"
        yield Request(name, cells["prompt"], harmful, bool(cells["adversarial"]), "test")


def first_turn(cells: Cells) -> Iterator[tuple[str, str]]:
    """A chat's first question and its answer."""
    asked, answered, *_ = cells["messages"]
    yield asked["content"], answered["content"]


# The sources, as they stood when their revision was pinned

BEAVERTAILS = Source(
    "PKU-Alignment/BeaverTails",
    "8401fe609d288129cc684a9b3be6a93e41cfe678",
    (
        (
            "round0/330k/train.jsonl.xz",
            "12f04c9200000929ebbc616c29cb53331f6df36e7341d73e4a12cffac0eb1c08",
        ),
        (
            "round0/330k/test.jsonl.xz",
            "1c726c662b85bf4761913041fe9e098f80e5206344864597dbde86bc9a1bfc96",
        ),
    ),
    "CC BY-NC 4.0",
)
HENDRYCKS_MATH = Source(
    "EleutherAI/hendrycks_math",
    "21a5633873b6a120296cce3e2df9d5550074f4a3",
    tuple(
        (f"{subject}/{split}-00000-of-00001.parquet", "")
        for subject in MATH
        for split in ("train", "test")
    ),
    "MIT by its card; the problems' own status is open",
)
MMLU = Source(
    "cais/mmlu",
    "c30699e8356da336a370243923dbaf21066bb9fe",
    (
        (
            "all/test-00000-of-00001.parquet",
            "74a41822ce7d3def56e1682f958469c04642a5336a5ce912fa375fdb90fb25d7",
        ),
    ),
    "MIT",
)
SALAD = Source(
    "OpenSafetyLab/Salad-Data",
    "d21a325e276a99bd69b1fbb8aa51a9f249486b72",
    (("base_set.json", ""),),
    "Apache-2.0",
)
WILDGUARD = Source(
    "allenai/wildguardmix",
    "d29c47f41c8b51348b5c8e8c81c039b3132b66d1",
    (("train/*.parquet", ""),),
    "ODC-BY",
    gated=True,
)
WILDGUARD_TEST = Source(
    "allenai/wildguardmix",
    "d29c47f41c8b51348b5c8e8c81c039b3132b66d1",
    (("test/*.parquet", ""),),
    "ODC-BY",
    gated=True,
)
COUNTERFACT = Source(
    "NeelNanda/counterfact-tracing",
    "c945b082ca08d0a8f3ba227fb78404a09614c36e",
    (("data/train-*.parquet", ""),),
    "none on its card",
)
XSTEST = Source(
    "Paul/XSTest",
    "f600c994b256f12867dfa5b3eb3d545a3e62f8b5",
    (
        (
            "xstest_prompts.csv",
            "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a",
        ),
    ),
    "CC BY 4.0",
)
STRONGREJECT = Source(
    "walledai/StrongREJECT",
    "df54272b395ce9e584d2f8140519935425d8549f",
    (("data/train-*.parquet", ""),),
    "MIT",
    gated=True,
)
ULTRACHAT = Source(
    "HuggingFaceH4/ultrachat_200k",
    "8049631c405ae6576f93f445c6b8166f76f5505a",
    (
        (
            "data/test_sft-00000-of-00001-f7dfac4afe5b93f4.parquet",
            "c18fd6e77395577652bdefbc5a87044ea799e989451ecfca5c6cf977ae5c6f70",
        ),
    ),
    "MIT",
)

LABELLED: dict[str, Labelled] = {
    "beavertails_categories": Labelled(BEAVERTAILS, beavertails, ("safe",), vote=True),
    "beavertails_binary": Labelled(
        BEAVERTAILS, partial(beavertails, binary=True), ("safe",), vote=True
    ),
    "math": Labelled(HENDRYCKS_MATH, mathematics),
    "mmlu": Labelled(MMLU, multiple_choice),
    "knowledge": Labelled(MMLU, partial(multiple_choice, subjects=KNOWLEDGE)),
    "salad": Labelled(SALAD, salad, only_harm=True),
    "wildguard": Labelled(WILDGUARD, wildguard, ("unharmful",)),
    "counterfact": Labelled(COUNTERFACT, counterfact),
}
ASKED: dict[str, Asked] = {
    "xstest": Asked(XSTEST, xstest),
    "strongreject": Asked(STRONGREJECT, strongreject),
    "wildguard_test": Asked(WILDGUARD_TEST, wildguard_test),
}
TOLD: dict[str, Told] = {"ultrachat": Told(ULTRACHAT, first_turn)}
