"""Which concept a text names: whole words, and one alone."""

from pipeline.core.concepts import concept_named, names_concept
from pipeline.core.records import (
    Interpretation,
)


def said(text: str, concept: str = "law", control: str = "state") -> Interpretation:
    return Interpretation("e", concept, "test", 1, "last", control, text, (), ())


def test_naming_two_concepts_names_none() -> None:
    names = ["law", "biology", "non_violent"]
    assert names_concept(said("It is about Law."), names)
    assert not names_concept(said("It is about law and biology."), names)
    assert not names_concept(said("It is about."), names)
    assert names_concept(said("about non violent talk", "non_violent"), names)
    assert not names_concept(said("a flawless lawn"), names)


def test_the_concept_that_is_named() -> None:
    names = ["law", "biology"]
    assert concept_named("It is about Law.", names) == "law"
    assert concept_named("law or biology", names) is None
    assert concept_named("nothing", names) is None


def test_a_name_inside_a_longer_one_is_not_named() -> None:
    names = ["safe", "unsafe", "not_quite_safe"]
    assert names_concept(said("It is about unsafe.", "unsafe"), names)
    assert names_concept(said("It is not quite safe.", "not_quite_safe"), names)
    assert not names_concept(said("It is not quite safe.", "safe"), names)
