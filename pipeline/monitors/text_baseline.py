"""What the words alone give away: TF-IDF and logistic regression on the words a model reads."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from pipeline.core.records import Example, ReadWords, Request
from pipeline.core.scored_sets import prompts_alone
from pipeline.evaluation.bootstrap import Counts, draw_prompts
from pipeline.evaluation.intervals import as_tree, estimate_defined
from pipeline.monitors.metrics import (
    Measures,
    choose_threshold,
    concept_measures,
    harm_measures,
    is_asked,
    questions_of,
)

UNSCORED = ("train", "validation")
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
    resamples: int,
    seed: int,
) -> TextOnlyMetrics:
    """Measures with intervals of classifiers that see no model: question -> reading -> group.

    The questions, the texts that they are asked of, the choice of a threshold and the measures are
    the monitors' (pipeline.monitors.metrics). `prompt` reads what stands at a prompt's end, `whole`
    prompt and response; requests are prompts. Fitted on train; word uni- and bigrams.

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
        for reading, words in (("prompt", prompt_of), ("whole", whole_of)):
            groups: Groups = {}
            for e in examples:
                if reading == "whole" and e.split in alone:
                    continue
                if is_asked(question, e.concept, learned):
                    shown = BaselineText(words(e), label_of[question](e), e.prompt)
                    groups.setdefault(e.split, []).append(shown)
            if (question, reading) == ("harm", "prompt"):
                for r in sorted(requests, key=lambda request: request.id):
                    shown = BaselineText(prompt_of(r), r.harmful, r.prompt)
                    groups.setdefault(r.group, []).append(shown)
            tree.setdefault(question, {})[reading] = _scored(groups, resamples, seed)
    return tree


def _scored(groups: Groups, resamples: int, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Every group that is scored, by a classifier of the training texts."""
    classifier = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000)
    )
    words, labels = _columns(groups["train"])
    classifier.fit(words, labels)
    threshold = None
    if labels.dtype == bool:
        words, harmful = _columns(groups["validation"])
        threshold = choose_threshold(harmful, classifier.predict_proba(words)[:, 1])
    tree = {}
    for group, texts in groups.items():
        if group not in UNSCORED:
            counts = draw_prompts((text.prompt for text in texts), resamples, seed)
            measures = _measures(classifier, texts, threshold, counts)
            tree[group] = as_tree(estimate_defined(measures))
    return tree


def _measures(
    classifier: Pipeline, texts: Sequence[BaselineText], threshold: float | None, counts: Counts
) -> Measures:
    words, labels = _columns(texts)
    probabilities = classifier.predict_proba(words)
    if threshold is None:
        return concept_measures(probabilities, classifier.classes_, labels, counts)
    return harm_measures(probabilities[:, 1], labels, threshold, counts)


def _columns(texts: Sequence[BaselineText]) -> tuple[list[str], np.ndarray]:
    return [text.words for text in texts], np.array([text.label for text in texts])
