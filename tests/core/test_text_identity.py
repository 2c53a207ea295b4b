"""What is the same to a reader is the same here, and what a reader tells apart stays apart."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.text_identity import (
    UNSEEN,
    LabelForms,
    first_of_each,
    is_among,
    is_blank,
    normalised,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
unseen = st.sampled_from("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u202e\ufe0f\u3164\0\x07")


@given(texts)
def test_the_normal_form_is_its_own(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(texts, st.sampled_from(["NFC", "NFD"]), unseen, st.data())
def test_a_text_is_itself_however_it_is_composed_spaced_and_marked(
    text: str, form: str, mark: str, data: st.DataObject
) -> None:
    where = data.draw(st.integers(0, len(text)))
    marked = f"{text[:where]}{mark}{text[where:]}"
    assert normalised(unicodedata.normalize(form, text)) == normalised(text)  # type: ignore[arg-type]
    assert normalised(marked) == normalised(text)
    assert normalised(f"\u00a0 {text}\r\n") == normalised(text)


@given(texts)
def test_case_does_not_count(text: str) -> None:
    lower = normalised(text.lower())
    assert lower == normalised(text.casefold()) or "İ" in unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("café", "cafe\u0301"), ("ÅNGSTRÖM", "a\u030angstro\u0308m"), ("한국", "\u1112\u1161\u11ab국"),
     ("Straße", "STRASSE"), ("a  b", " a\u2003b\n"), ("zero\u200bwidth", "zerowidth"),
     ("co\u00adop", "coop"), ("\u202eabc\u202c", "abc"), ("Ω", "\u2126")],
)  # fmt: skip
def test_equal_to_a_reader(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert is_among(one, ["else", other])
    assert LabelForms([one]).of(other) == " ".join(one.split())


@pytest.mark.parametrize(
    ("one", "other"),
    [("x²", "x2"), ("cafe", "café"), ("a b", "ab"), ("½", "1/2"), ("o", "\u03bf"),
     ("不", "丕"), ("!", "?")],
)  # fmt: skip
def test_told_apart_by_a_reader(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text(st.sampled_from("\u200b\ufeff \n\t\u00a0\u00ad\0\u2060"), max_size=9), texts)
def test_a_text_with_nothing_visible_is_blank(nothing: str, text: str) -> None:
    assert is_blank(nothing)
    assert is_blank(nothing + text) == is_blank(text)
    assert is_blank(text) == (not UNSEEN.sub("", text).split())


def test_every_default_ignorable_character_of_unicode_is_unseen() -> None:
    """Format characters but those that are drawn (signs of Arabic, Syriac, Kaithi, Egyptian)."""
    marks = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) == "Cf"]
    drawn = [mark for mark in marks if not UNSEEN.fullmatch(mark)]
    assert all(
        unicodedata.name(mark).split()[0]
        in ("ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN", "INTERLINEAR")
        for mark in drawn
    )
    assert len(marks) > 2 * len(drawn)


def test_the_form_of_a_label_is_the_first_one_typed_and_known_ones_come_before_all() -> None:
    forms = LabelForms(["Safe"])
    assert [forms.of(name) for name in ("safe", " Harm  of\nit", "harm of it", "s\u200bafe")] == [
        "Safe", "Harm of it", "Harm of it", "Safe",
    ]  # fmt: skip
    assert forms.merged == 3
    assert forms.of("\u200b ") == ""


@given(st.lists(texts, max_size=8))
def test_the_first_of_each_text_is_kept(some: list[str]) -> None:
    kept = first_of_each(some, str)
    assert len(kept) == len({normalised(text) for text in some})
    assert kept == [text for n, text in enumerate(some) if not is_among(text, some[:n])]
