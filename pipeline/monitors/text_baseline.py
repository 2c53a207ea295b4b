"""What the words alone give away: TF-IDF and logistic regression on the words a model reads, or on
their characters."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypedDict

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline

from pipeline.core.records import Example, ReadWords, Request
from pipeline.core.scored_sets import prompts_alone
from pipeline.core.sections import Reading
from pipeline.evaluation.bootstrap import Counts, draw_prompts
from pipeline.evaluation.intervals import as_tree, estimate_defined
from pipeline.monitors.metrics import (
    Measures,
    concept_measures,
    harm_measures,
    is_asked,
    questions_of,
)
from pipeline.monitors.thresholds import Thresholds, choose_thresholds

UNSCORED = ("train", "validation")


class Ngrams(TypedDict):
    """What TF-IDF counts: runs of so many words, or of characters within words."""

    analyzer: Literal["word", "char_wb"]
    ngram_range: tuple[int, int]


NGRAMS: dict[str, Ngrams] = {  # by the ending of what is read
    "": {"analyzer": "word", "ngram_range": (1, 2)},
    "_characters": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}
TextOnlyMetrics = dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]


class BaselineText(NamedTuple):
    """What is read of a text, the class that it has (a concept, or whether it is harmful), and the
    prompt that it is drawn with."""

    words: str
    label: str | bool
    prompt: str


Groups = dict[str, list[BaselineText]]


def text_only(
    read: Iterable[ReadWords],
    examples: Sequence[Example],
    requests: Sequence[Request],
    safe: Sequence[str],
    reading: Reading,
    seed: int,
) -> TextOnlyMetrics:
    """Measures with intervals of classifiers that see no model: question -> reading -> group.

    The questions, the texts that they are asked of, the choice of thresholds and the measures are
    the monitors' (pipeline.monitors.metrics). `prompt` reads what stands at a prompt's end, `whole`
    prompt and response; requests are prompts. Both read words, `prompt_characters` and
    `whole_characters` the characters of the same words (NGRAMS). Fitted on train.

    read: the words of every example and request, as the model's own encoder cuts them.
    """
    words_of = {words.id: words for words in read}

    def prompt_of(one: Example | Request) -> str:
        return words_of[one.id].prompt

    def whole_of(one: Example) -> str:
        return f"{prompt_of(one)} {words_of[one.id].response}"

    alone = prompts_alone(examples)
    learned = {example.concept for example in examples if example.split == "train"}
    label_of: dict[str, Callable[[Example], str | bool]] = {
        "concept": lambda e: e.concept,
        "harm": lambda e: e.concept not in safe,
    }
    tree: TextOnlyMetrics = {}
    for question in questions_of(learned, safe):
        for shown_of, words in (("prompt", prompt_of), ("whole", whole_of)):
            groups: Groups = {}
            for e in examples:
                if shown_of == "whole" and e.split in alone:
                    continue
                if is_asked(question, e.concept, learned):
                    shown = BaselineText(words(e), label_of[question](e), e.prompt)
                    groups.setdefault(e.split, []).append(shown)
            if (question, shown_of) == ("harm", "prompt"):
                for r in sorted(requests, key=lambda request: request.id):
                    shown = BaselineText(prompt_of(r), r.harmful, r.prompt)
                    groups.setdefault(r.group, []).append(shown)
            for ending, kind in NGRAMS.items():
                found = _scored(groups, kind, reading, seed)
                tree.setdefault(question, {})[f"{shown_of}{ending}"] = found
    return tree


def harm_in_words(
    read: Iterable[ReadWords], examples: Sequence[Example], safe: Sequence[str], position: str
) -> dict[str, float]:
    """The probability of harm of every text, by its id, from words alone, those that a state at a
    position has read: a judge that is no part of a model. It reads words or characters, as
    validation texts choose. Empty where harm is not asked or validation texts are of one kind."""
    words_of = {words.id: words.at(position) for words in read}
    texts = {
        split: [BaselineText(words_of[e.id], e.concept not in safe, e.prompt)
                for e in examples if e.split == split]
        for split in UNSCORED
    }  # fmt: skip
    (learned, harmful), (known, truth) = (_columns(texts[split]) for split in UNSCORED)
    if len(set(harmful)) < 2 or len(set(truth)) < 2:
        return {}
    tried = [new_classifier(ngrams).fit(learned, harmful) for ngrams in NGRAMS.values()]
    best = min(tried, key=lambda one: log_loss(truth, one.predict_proba(known)[:, 1]))
    names = [e.id for e in examples]
    said = best.predict_proba([words_of[name] for name in names])[:, 1]
    return dict(zip(names, map(float, said), strict=True))


def new_classifier(ngrams: Ngrams) -> Pipeline:
    return make_pipeline(TfidfVectorizer(**ngrams), LogisticRegression(C=10, max_iter=1000))


def _scored(
    groups: Groups, ngrams: Ngrams, reading: Reading, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Every group that is scored, by a classifier of the training texts."""
    words, labels = _columns(groups["train"])
    classifier = new_classifier(ngrams).fit(words, labels)
    thresholds = None
    if labels.dtype == bool:
        words, harmful = _columns(groups["validation"])
        score = classifier.predict_proba(words)[:, 1]
        thresholds = choose_thresholds(harmful, score, reading.false_alarms)
    tree = {}
    for group, texts in groups.items():
        if group not in UNSCORED:
            counts = draw_prompts((text.prompt for text in texts), reading.resamples, seed)
            measures = _measures(classifier, texts, thresholds, counts)
            tree[group] = as_tree(estimate_defined(measures))
    return tree


def _measures(
    classifier: Pipeline,
    texts: Sequence[BaselineText],
    thresholds: Thresholds | None,
    counts: Counts,
) -> Measures:
    words, labels = _columns(texts)
    probabilities = classifier.predict_proba(words)
    if thresholds is None:
        return concept_measures(probabilities, classifier.classes_, labels, counts)
    return harm_measures(probabilities[:, 1], labels, thresholds, counts)


def _columns(texts: Sequence[BaselineText]) -> tuple[list[str], np.ndarray]:
    return [text.words for text in texts], np.array([text.label for text in texts])
