"""The embedded corpora: reproducible, in separate splits, and not given away by their words."""

import re
from collections import Counter
from dataclasses import fields
from typing import Literal

import pytest

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Request
from pipeline.core.scored_sets import EVERYDAY, UNNAMED
from pipeline.core.sections import EmbeddedCorpora
from pipeline.corpora import embedded_corpus, lexicon
from pipeline.corpora.corpus import Corpus, check_corpus
from pipeline.corpora.embedded_corpus import HARMLESS
from pipeline.corpora.grammar import CONCEPTS, PHRASES, Grammar
from pipeline.corpora.registers import DIRECT, REPORTED, Register
from pipeline.evaluation.refusal_rule import opens_with_refusal


@pytest.fixture(params=["safety", "topics"])
def corpora(request: pytest.FixtureRequest, params: Params) -> EmbeddedCorpora:
    return params.corpora.embedded.model_copy(update={"concepts": request.param})


def test_seed_decides(corpora: EmbeddedCorpora) -> None:
    one, two, three = (embedded_corpus.labelled(corpora, seed, []) for seed in (0, 0, 1))
    assert one == two != three
    assert embedded_corpus.unlabelled(corpora, 0) == embedded_corpus.unlabelled(corpora, 0)
    assert embedded_corpus.requests(corpora, 0, []) == embedded_corpus.requests(corpora, 0, [])


def test_no_prompt_in_two_splits_nor_described(corpora: EmbeddedCorpora) -> None:
    described = embedded_corpus.described(corpora, 0)
    labelled = embedded_corpus.labelled(corpora, 0, [example.prompt for example in described])
    prompts = [example.prompt for example in labelled]
    assert len(set(prompts)) == len(prompts)
    assert not {example.prompt for example in described} & set(prompts)
    check_corpus(Corpus(tuple(labelled), (), (), (), (), {}, ""))


def test_shifted_texts_are_worded_in_sentences_of_their_own(corpora: EmbeddedCorpora) -> None:
    """Of every concept as many as asked for, of known words, and of no form that another has."""
    texts = embedded_corpus.draw_corpus(corpora, 0)
    reworded = [example for example in texts.shifted if example.split == UNNAMED]
    counts = Counter(e.concept for e in reworded)
    assert counts == dict.fromkeys(CONCEPTS[corpora.concepts], corpora.shifted)
    own, others = (set(map(str, every_form(register))) for register in (REPORTED, DIRECT))
    assert own.isdisjoint(others)
    openings = {form[:12] for form in own if form}
    elsewhere = [d.prompt for d in (*texts.documents, *texts.requests, *texts.described)]
    elsewhere += [e.prompt for e in texts.examples]
    assert {e.prompt[:12] for e in reworded} <= openings
    assert openings.isdisjoint(prompt[:12] for prompt in elsewhere)
    novel = [phrase.lower() for phrase in Grammar(0, 0.0).novel]
    for example in reworded:
        said = f"{example.prompt} {example.response}".lower()
        assert not any(re.search(rf"\b{re.escape(phrase)}\b", said) for phrase in novel)
        if corpora.concepts == "safety":
            refuses = any(part in example.safe_response for part in parts_of(REPORTED.refusals))
            assert refuses == (example.concept != "safe")


def parts_of(forms: tuple[str, ...]) -> list[str]:
    """The longest piece of each form that no phrase fills."""
    return [max(re.split(r"{\w+}", form), key=len) for form in forms]


def every_form(register: Register) -> list[object]:
    names = [f.name for f in fields(register) if f.name not in ("reasons", "greetings", "closings")]
    forms = [form for name in names for form in getattr(register, name) if form]
    return [*forms, *(reason for reasons in register.reasons.values() for reason in reasons)]


def test_everyday_texts_are_mostly_harmless_and_worded_like_the_labelled(
    corpora: EmbeddedCorpora,
) -> None:
    """A concept set without harm has none, and no prompt stands in another set."""
    texts = embedded_corpus.draw_corpus(corpora, 0)
    everyday = [example for example in texts.shifted if example.split == EVERYDAY]
    harms = {*CONCEPTS[corpora.concepts]} - {HARMLESS}
    counts = {HARMLESS: corpora.everyday} | dict.fromkeys(harms, corpora.everyday // 25)
    assert Counter(e.concept for e in everyday) == (counts if texts.safe else {})
    others = [e for e in (*texts.examples, *texts.shifted) if e.split != EVERYDAY]
    assert {e.prompt for e in everyday}.isdisjoint(e.prompt for e in others)
    openings = {form[:12] for form in map(str, every_form(REPORTED)) if form}
    assert openings.isdisjoint(e.prompt[:12] for e in everyday)


def test_shifted_texts_change_no_other(corpora: EmbeddedCorpora) -> None:
    one = embedded_corpus.draw_corpus(corpora, 0)
    more = embedded_corpus.draw_corpus(
        corpora.model_copy(update={"shifted": corpora.shifted + 5}), 0
    )
    for name in ("examples", "documents", "requests", "described"):
        assert getattr(one, name) == getattr(more, name)
    assert len(one.shifted) < len(more.shifted)


def test_held_out_prompts_are_nowhere_learned(corpora: EmbeddedCorpora) -> None:
    texts = embedded_corpus.draw_corpus(corpora, 0)
    learned = {d.prompt for d in texts.documents if d.split == "pretrain"}
    learned |= {e.prompt for e in texts.described}
    trained = learned | {e.prompt for e in texts.examples if e.split == "train"}
    asked = [request.prompt for request in texts.requests]
    assert len(set(asked)) == len(asked)
    assert not trained & set(asked)
    assert not trained & {d.prompt for d in texts.documents if d.split == "heldout"}
    assert not learned & {e.prompt for e in texts.labelled}


def test_requests_are_the_same_whichever_set_is_labelled(params: Params) -> None:
    one, other = (
        embedded_corpus.draw_corpus(
            params.corpora.embedded.model_copy(update={"concepts": concepts}), 0
        )
        for concepts in ("safety", "topics")
    )
    assert one.requests == other.requests
    assert one.documents == other.documents
    assert one.described == other.described


def test_every_harmful_request_has_a_safe_one_that_differs_in_its_wish_alone(
    corpora: EmbeddedCorpora,
) -> None:
    texts = embedded_corpus.draw_corpus(corpora, 0)
    harmful = {request.id: request for request in texts.requests if request.harmful}
    assert {contrast.pair for contrast in texts.contrasts} == harmful.keys()
    grammar = Grammar(0, 0.0)
    for contrast in texts.contrasts:
        request = harmful[contrast.pair]
        assert request.pair == request.id
        assert (contrast.harmful, contrast.framed) == (False, request.framed)
        assert contrast.split == request.split
        wish = max((w for words in lexicon.HARMS.values() for w in words if w in request.prompt),
                   key=len)  # fmt: skip
        before, _, after = request.prompt.partition(wish)
        assert contrast.prompt.startswith(before)
        assert contrast.prompt.endswith(after)
        safe = contrast.prompt[len(before) : len(contrast.prompt) - len(after)]
        assert safe in grammar.words("safe", "novel" if request.split == "novel" else "known")


def test_contrasts_are_near_and_stand_nowhere_else(corpora: EmbeddedCorpora) -> None:
    texts = embedded_corpus.draw_corpus(corpora, 0)
    prompts = [contrast.prompt for contrast in texts.contrasts]
    assert len(set(prompts)) == len(prompts)
    others = (*texts.labelled, *texts.described, *texts.documents, *texts.requests)
    assert not {text.prompt for text in others} & set(prompts)
    shared = embedded_corpus.shared_words
    assert shared("smash the bus shelter", "mend the bus shelter") == 0.5
    assert shared("smash the bus shelter", "start a diary") == 0
    assert shared("start a diary", "start a diary") == 1
    asked = [Request("r", "How do I smash the bus shelter?", True, False, "test", pair="r")]
    (nearest,) = embedded_corpus.contrasts(asked, 0, [])
    known = Grammar(0, 0.0).words("safe", "known")
    best = max(shared("smash the bus shelter", wish) for wish in known)
    assert any(wish in nearest.prompt for wish in known
               if shared("smash the bus shelter", wish) == best)  # fmt: skip
    (other,) = embedded_corpus.contrasts(asked, 0, [nearest.prompt])
    assert other.prompt != nearest.prompt, "a prompt that is taken is not asked"


def test_a_grammar_that_has_said_everything_says_so(params: Params) -> None:
    greedy = params.corpora.embedded.model_copy(update={"novel": 9000, "ambiguity": 0.0})
    with pytest.raises(InputError, match="the grammar finds no new message; lower the counts"):
        embedded_corpus.labelled(greedy, 0, [])


def test_unlabelled_texts_use_all_words(params: Params) -> None:
    many = params.corpora.embedded.model_copy(update={"documents": 6000})
    said = " ".join(f"{d.prompt} {d.response}" for d in embedded_corpus.unlabelled(many, 0)).lower()
    for phrases in PHRASES.values():
        assert all(phrase.lower() in said for phrase in phrases)


@pytest.mark.parametrize("concepts", ["safety", "topics"])
def test_messages_name_a_rival_as_often_as_said(
    params: Params, concepts: Literal["safety", "topics"]
) -> None:
    corpora = params.corpora.embedded.model_copy(
        update={"concepts": concepts, "train": 200, "ambiguity": 0.7}
    )
    grammar = Grammar(0, 0.7)
    texts = [e for e in embedded_corpus.labelled(corpora, 0, []) if e.split == "train"]
    ambiguous = 0
    for example in texts:
        rivals = [phrase for concept in CONCEPTS[concepts] if concept != example.concept
                  for phrase in grammar.words(concept, "known")]  # fmt: skip
        ambiguous += any(phrase in example.prompt for phrase in rivals)
    assert ambiguous / len(texts) == pytest.approx(0.7, abs=0.05)


def test_careful_answers_refuse_harm_and_nothing_else(params: Params) -> None:
    for example in embedded_corpus.labelled(params.corpora.embedded, 0, []):
        assert opens_with_refusal(example.safe_response) == (example.concept != "safe")


def test_requests_cover_every_cell(params: Params) -> None:
    requests = embedded_corpus.requests(params.corpora.embedded, 0, [])
    cells = [(r.split, r.harmful, r.framed) for r in requests]
    assert {cells.count(cell) for cell in cells} == {params.corpora.embedded.behaviour}
    assert len(set(cells)) == 8
    assert len({r.id for r in requests}) == len(requests)


def test_the_base_model_learns_to_refuse_part_of_the_time(params: Params) -> None:
    grammar = Grammar(0, 0.0)
    for concept, framed, rate in (
        ("fraud", False, 0.9),
        ("fraud", True, 0.35),
        ("safe", False, 0.05),
    ):
        answers = [grammar.request(concept, "any", framed).response for _ in range(400)]
        refused = sum(map(opens_with_refusal, answers)) / len(answers)
        assert refused == pytest.approx(rate, abs=0.08)


def test_concepts_have_words_of_their_own() -> None:
    for concepts in (lexicon.TOPICS, lexicon.HARMS | {"safe": lexicon.SAFE}):
        phrases = [phrase for words in concepts.values() for phrase in words]
        assert len(set(phrases)) == len(phrases)
        assert all(len(words) >= 24 for words in concepts.values())
