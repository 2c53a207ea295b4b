"""A concept is named by the words that a reader would take for its name, in any spelling."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.core.concepts import concept_named, spoken
from pipeline.core.naming import named_concepts, share_of_words_said
from pipeline.core.text_identity import is_blank

HATE = "hate_speech,offensive_language"
NAMED: list[tuple[str, list[str], set[str]]] = [
    ("It is about self-harm.", ["self_harm", "safe"], {"self_harm"}),
    ("It is about self\u2011harm, or selfharm.", ["self_harm"], {"self_harm"}),
    ("non-violent", ["violent", "safe"], set()),
    ("non-violent", ["violent", "non_violent"], {"non_violent"}),
    ("Nonviolent protest", ["violent", "non_violent"], {"non_violent"}),
    ("a non violent protest", ["nonviolent", "violent"], {"nonviolent"}),
    ("It is not violent.", ["violent", "non_violent"], {"non_violent"}),
    ("It isn\u2019t about law but biology.", ["law", "biology"], {"biology"}),
    ("It is not safe.", ["safe"], set()),
    ("a smoke-free room", ["smoke"], set()),
    ("the union of laws", ["ion"], set()),
    ("这段话是关于暴力的", ["暴力", "隐私"], {"暴力"}),
    ("这是非暴力的", ["暴力"], set()),
    ("这是非暴力的", ["暴力", "非暴力"], {"非暴力"}),
    ("关于privacy的", ["privacy"], {"privacy"}),
    ("これはプライバシーについてです", ["プライバシー"], {"プライバシー"}),
    ("เกี่ยวกับความรุนแรงครับ", ["ความรุนแรง"], {"ความรุนแรง"}),
    ("폭력에 관한 글", ["폭력", "법"], {"폭력"}),
    ("자연의 법칙", ["법"], set()),
    ("हिंसा के बारे में", ["हिंसा", "हिंस"], {"हिंसा"}),
    ("हिंसा के बारे में", ["हिंस"], set()),
    ("un cafe\u0301 noir", ["caf\u00e9"], {"caf\u00e9"}),
    ("un caf\u00e9 noir", ["cafe\u0301"], {"cafe\u0301"}),
    ("STRASSE", ["straße"], {"straße"}),
    ("hate speech, and offensive language", [HATE, "safe"], {HATE}),
    ("hate speech or offensive language", [HATE, "hate"], {HATE}),
    ("It is about offensive language.", [HATE, "safe"], {HATE}),
    ("It is about weapons.", ["drugs,weapons", "weapons,theft"], set()),
    ("It is about weapons.", ["drugs,weapons", "weapons"], {"weapons"}),
    ("in C++", ["c", "c++"], {"c++"}),
    ("x - y", ["x--y", "x"], {"x--y"}),
    ("it would cost $x {1$ today", ["cost $x {1$"], {"cost $x {1$"}),
    ("about -- indeed", ["--", "c"], {"--"}),
]


@pytest.mark.parametrize(("text", "concepts", "expected"), NAMED)
def test_a_name_is_what_a_reader_takes_for_it(
    text: str, concepts: list[str], expected: set[str]
) -> None:
    assert named_concepts(text, concepts) == expected


labels = st.text(min_size=1, max_size=8).filter(lambda label: not is_blank(label))


@given(labels)
def test_every_label_is_named_by_its_own_answer(label: str) -> None:
    """In the answer that asking.answer makes of it, whatever a person typed."""
    assume(label.split())
    concepts = ["law", " ".join(label.split())]
    assert concept_named(f"It is about {spoken(concepts[1])}.", concepts) == concepts[1]


words = st.text(st.sampled_from("abdeéßñжλ"), min_size=2, max_size=5)
joints = st.sampled_from([" ", "-", "_", "  ", "\u2010", "\u2011", " - ", ""])


@given(st.lists(words, min_size=1, max_size=3), st.data())
def test_case_joints_and_composition_of_a_name_do_not_count(
    words: list[str], data: st.DataObject
) -> None:
    concept, said = "_".join(words), words[0]
    for word in words[1:]:
        said += data.draw(joints) + word
    form = data.draw(st.sampled_from(["NFC", "NFD"]))
    for own in (said, said.upper(), said.title(), said.lower()):
        assert named_concepts(unicodedata.normalize(form, f"It is {own}!"), [concept]) == {concept}


@given(words, st.sampled_from(["non-", "Non ", "not ", "isn't ", "isn\u2019t about ", "never "]))
def test_a_negated_name_names_nothing(word: str, before: str) -> None:
    assert named_concepts(f"It is {before}{word}.", [word, "zzz"]) == set()


@given(words, words)
def test_a_name_within_a_word_is_none(word: str, rest: str) -> None:
    assume(word not in rest)
    assert named_concepts(f"({word}q{rest})", [word]) == set()


@pytest.mark.parametrize(
    ("text", "label", "share"),
    [
        ("It is about drugs.", "drugs", 1.0),
        ("Weapons, or something like DRUGS", "drugs,weapons", 1.0),
        ("Drugs and nothing else", "drugs and weapons", 0.5),
        ("not drugs", "drugs", 1.0),
        ("a lawn, drugsore", "law_drugs", 0.0),
        ("self-harm", "self_harm", 1.0),
        ("what harms the self", "self_harm", 0.5),
        ("毒品的交易", "毒品", 1.0),
        ("anything", "and", 0.0),
        ("you and me", "and", 1.0),
        ("", "drugs", 0.0),
    ],
)
def test_words_of_a_label_are_said_as_words_whatever_else_is(
    text: str, label: str, share: float
) -> None:
    assert share_of_words_said(text, label) == share
