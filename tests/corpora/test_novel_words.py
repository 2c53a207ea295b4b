"""Novel texts share no content word with labelled ones, and no reader of words can tell them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from pipeline.core.params import Params
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Example
from pipeline.core.sections import EmbeddedCorpora
from pipeline.corpora import embedded_corpus, lexicon
from pipeline.corpora.grammar import CONCEPTS, PHRASES, Grammar
from pipeline.corpora.novel_words import content_words, novel_phrases, words_of_sentences
from pipeline.evaluation.refusal_rule import opens_with_refusal

SEEDS = range(3)
MARGIN = 0.05
MARGIN_OF_PIECES = 0.15  # "-ism" is a piece of words, and tells philosophy


@pytest.fixture(params=["safety", "topics"])
def corpora(request: pytest.FixtureRequest, params: Params) -> EmbeddedCorpora:
    """The default run's sizes, but more novel texts, so that one standard error is below .02."""
    changes = {"concepts": request.param, "train": 150, "described": 250, "novel": 100}
    return params.corpora.embedded.model_copy(update=changes)


def test_content_words() -> None:
    assert content_words("sell the wills of an aunt") == {"sell", "will", "aunt"}
    assert content_words("the law of large numbers") == {"law", "large", "number"}


def test_phrases_with_a_word_in_common_stay_together() -> None:
    """Of 6 phrases two may be novel. `old oak` and `oak door` share a word, through which three
    phrases hang together; `plan` stands in the sentences of every message."""
    lists = {
        "one": ["an old oak", "an oak door", "a plan", "fern", "moss", "reed"],
        "two": ["an open door", "a vase", "a lamp", "a chair", "a stool", "a bench"],
    }
    for seed in range(20):
        novel = novel_phrases(lists, rng_of(RandomStream.WORDS, seed))
        assert not {"an old oak", "an oak door", "an open door"} & novel or {
            "an old oak", "an oak door", "an open door"
        } <= novel  # fmt: skip
        assert "a plan" not in novel
        assert all(len(novel & {*phrases}) <= 2 for phrases in lists.values())
        assert len(novel & {*lists["two"]}) == 2


def test_every_concept_has_novel_phrases_and_reasons() -> None:
    for seed in range(10):
        grammar = Grammar(seed, 0.0)
        assert all(len(grammar.words(concept, "novel")) >= 6 for concept in PHRASES)
        assert all(len(grammar.reasons(harm, "novel")) == 3 for harm in lexicon.HARMS)


def test_novel_texts_share_no_content_word_with_labelled_texts(corpora: EmbeddedCorpora) -> None:
    """Answers included. Only words of the sentences that every concept has stand on both sides."""
    for seed in SEEDS:
        labelled = embedded_corpus.labelled(corpora, seed, [])
        taught = [e for e in labelled if e.split != "novel"]
        taught += embedded_corpus.described(corpora, seed)
        novel = [e for e in labelled if e.split == "novel"]
        both = _words(novel) & _words(taught)
        assert both <= words_of_sentences()
        assert len(_words(novel) - both) > 60


def test_unlabelled_texts_explain_novel_words(params: Params) -> None:
    """Of the default run's documents, at least ten show a novel phrase beside a known one of its
    concept."""
    grammar = Grammar(0, 0.0)
    many = params.corpora.embedded.model_copy(update={"documents": 20000})
    documents = [f"{d.prompt} {d.response}".lower() for d in embedded_corpus.unlabelled(many, 0)]
    for concept in PHRASES:
        beside = [d for d in documents if any(k in d for k in grammar.words(concept, "known"))]
        for phrase in grammar.words(concept, "novel"):
            assert sum(phrase.lower() in document for document in beside) >= 10


def test_words_do_not_tell_novel_texts(corpora: EmbeddedCorpora) -> None:
    """No classifier of words, n-grams or whole sentences is better on novel texts than one that
    knows only whether the answer refuses."""
    gains = np.mean([_gains(embedded_corpus.labelled(corpora, s, [])) for s in SEEDS], axis=0)
    assert gains[:-1].max() <= MARGIN
    assert gains[-1].max() <= MARGIN_OF_PIECES
    at_the_default_seed = _gains(embedded_corpus.labelled(corpora, 0, []))
    assert at_the_default_seed[:-1].max() <= MARGIN


def test_words_tell_texts_that_print_their_label(corpora: EmbeddedCorpora) -> None:
    """The control: every second text closes with a sentence of its concept."""
    texts = embedded_corpus.labelled(corpora, 0, [])
    leaking = [
        Example(e.id, e.prompt, f"{e.response} Filed as {e.concept}." if number % 2 else e.response,
                e.safe_response, e.concept, e.split, e.source)
        for number, e in enumerate(texts)
    ]  # fmt: skip
    assert _gains(leaking)[:, 1].max() > 3 * MARGIN


def _words(examples: Sequence[Example]) -> set[str]:
    return {word for e in examples for text in (e.words, e.safe_response)
            for word in content_words(text)}  # fmt: skip


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?:]) ", text)


def _readers() -> list[Pipeline]:
    """Bags of words and n-grams, a lookup of the nearest text and of sentences; last, n-grams of
    characters."""
    logistic = LogisticRegression(C=10, max_iter=300)
    return [
        make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), logistic),
        make_pipeline(CountVectorizer(ngram_range=(1, 3)), MultinomialNB()),
        make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), KNeighborsClassifier(1)),
        make_pipeline(CountVectorizer(analyzer=_sentences), MultinomialNB()),
        make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)), logistic),
    ]


def _gains(texts: Sequence[Example]) -> np.ndarray:
    """Accuracy on novel texts above what base rates give: [readers, prompt or whole text]."""
    train, novel = ([e for e in texts if e.split == split] for split in ("train", "novel"))
    truth = np.array([e.concept for e in novel])
    readings: list[Callable[[Example], str]] = [lambda e: e.prompt, lambda e: e.words]
    gains = []
    for reader in _readers():
        accuracies = []
        for reading in readings:
            reader.fit([reading(e) for e in train], [e.concept for e in train])
            accuracies.append(np.mean(reader.predict([reading(e) for e in novel]) == truth))
        gains.append(np.array(accuracies) - _from_base_rates(train, novel))
    return np.array(gains)


def _from_base_rates(train: Sequence[Example], novel: Sequence[Example]) -> np.ndarray:
    """The share that is right of who guesses any concept, and of who guesses the most frequent one
    among answers that refuse, or that do not. Harms are refused alike: any of them will do."""
    chance = 1 / len({e.concept for e in train})
    harms = [concept for concept in CONCEPTS["safety"] if concept != "safe"]
    right = []
    for refuses in (False, True):
        alike = [e for e in train if opens_with_refusal(e.response) == refuses]
        ((likeliest, _),) = Counter(e.concept for e in alike).most_common(1) or ((("", 0)),)
        here = [e for e in novel if opens_with_refusal(e.response) == refuses]
        group = harms if likeliest in harms else [likeliest]
        right += [(e.concept in group) / len(group) for e in here]
    return np.array([chance, max(chance, float(np.mean(right)))])
