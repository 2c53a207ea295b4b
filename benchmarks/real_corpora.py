"""Labelled texts that people wrote, read from a folder of tables, in folds that share no prompt.

Nothing of them is kept: what is stored of a text is the digest that names it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from pipeline.core.console import InputError
from pipeline.core.records import Example, Question, Split
from pipeline.core.text_identity import normalised
from pipeline.corpora.near_duplicates import LEAST_SIMILARITY, RUN
from pipeline.corpora.questions import option_question
from pipeline.corpora.rows import Row, digest, distinct, text_of

FOLDS = 5
BEAVERTAILS = {
    "3": "discrimination", "8": "unethical behaviour", "9": "privacy violation",
    "11": "sexual content", "13": "violence", "100": "safe",
}  # fmt: skip


@dataclass(frozen=True)
class RealCorpus:
    """Where labelled texts stand, which column holds the label, and what the labels are called.

    most: at most so many texts of a concept, so that no concept outweighs the others. said: the
    column, if any, that says which option of a question is right.
    """

    files: tuple[str, ...]
    column: str
    called: Mapping[str, str] = field(default_factory=dict)
    safe: tuple[str, ...] = ()
    most: int = 0
    said: str = ""

    def rows(self, folder: Path) -> Iterator[Row]:
        for file in self.files:
            if not (folder / file).is_file():
                raise InputError(f"{folder / file} is missing; name the folder that holds it")
            table = pd.read_csv(folder / file, keep_default_na=False, dtype=str)
            columns = [table[name] for name in ("prompt", "response", self.column)]
            said = table[self.said] if self.said else [""] * len(table)
            for prompt, response, label, right in zip(*columns, said, strict=True):
                yield Row(prompt, response, "", self.called.get(label, label), file, said=right)


CORPORA = {
    "beavertails": RealCorpus(
        ("safety_multi/test.csv", "safety_binary/test.csv"),
        "category_id",
        BEAVERTAILS,
        ("safe",),
        most=300,
    ),
    "math": RealCorpus(("math/test.csv",), "catgory", most=150),
    "mmlu": RealCorpus(("knowledge/output.csv",), "value", said="question"),
}


def read_folds(folder: Path, name: str) -> list[tuple[Example, int]]:
    """Every text of a corpus with its fold, 0 to FOLDS - 1.

    Texts under two labels are dropped. Prompts that are nearly alike are in one fold.
    """
    corpus = CORPORA[name]
    kept, _ = distinct(corpus.rows(folder), vote=False)
    examples = [
        text_of(key, row, "train", row.label in corpus.safe or not corpus.safe)
        for key, row in sorted(kept.items())
    ]
    seen: dict[str, int] = {}
    chosen = []
    for example in examples:  # in the order of their digests, which is none of the tables'
        seen[example.concept] = seen.get(example.concept, 0) + 1
        if not corpus.most or seen[example.concept] <= corpus.most:
            chosen.append(example)
    return list(zip(chosen, folds_of([e.prompt for e in chosen]), strict=True))


def other_texts(data: Path, corpus: str) -> list[Example]:
    """Texts of another corpus, on which a finetune should change nothing."""
    other = "math" if corpus == "mmlu" else "mmlu"  # which asks questions, too
    return [example for example, _ in read_folds(data, other)]


def questions_among(folder: Path, examples: Sequence[Example]) -> list[Question]:
    """The multiple-choice questions that MMLU's texts ask, those whose right option is known."""
    kept, _ = distinct(CORPORA["mmlu"].rows(folder), vote=False)
    found = (
        option_question(e.id, e.prompt, kept[e.id].said or e.response)
        for e in examples
        if e.id in kept
    )
    return [question for question in found if question]


def folds_of(prompts: Sequence[str]) -> list[int]:
    """The fold of every prompt: the same for near-duplicates, also by way of others."""
    groups = groups_of(prompts)
    first: dict[int, str] = {}
    for prompt, group in zip(prompts, groups, strict=True):
        first[group] = min(first.get(group, prompt), prompt)
    return [int(digest(normalised(first[group])), 16) % FOLDS for group in groups]


def groups_of(prompts: Sequence[str]) -> list[int]:
    """Prompts whose sets of runs of characters have a Jaccard index of LEAST_SIMILARITY or more are
    in one group, and so is what is like any of them."""
    texts = [normalised(prompt).center(RUN) for prompt in prompts]
    vectorizer = CountVectorizer(analyzer="char", ngram_range=(RUN, RUN), binary=True)
    runs = vectorizer.fit_transform(texts).astype(np.int32)
    common = (runs @ runs.T).tocoo()
    sizes = np.asarray(runs.sum(1)).ravel()
    jaccard = common.data / (sizes[common.row] + sizes[common.col] - common.data)
    common.data = (jaccard >= LEAST_SIMILARITY).astype(np.int32)
    common.eliminate_zeros()
    groups: list[int] = connected_components(common, directed=False)[1].tolist()
    return groups


def split_by(folds: Sequence[tuple[Example, int]], test: int) -> list[Example]:
    """The texts with one fold as test, the next as validation, and the others as training texts."""
    names: Callable[[int], Split] = lambda fold: (  # noqa: E731
        "test" if fold == test else "validation" if fold == (test + 1) % FOLDS else "train"
    )
    return [replace(example, split=names(fold)) for example, fold in folds]
