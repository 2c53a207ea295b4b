"""docs/params.md has every knob, with all that its type allows: derived here from types alone."""

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest

from benchmarks.params_tables import kind_of, meanings
from pipeline.core.params import Params
from pipeline.core.sections import Section
from tests.support.dag import ROOT

PAGE = (ROOT / "docs/params.md").read_text(encoding="utf-8")
HEAD, *PARTS = re.split(r"^## ", PAGE.partition("<!-- table: params -->")[2], flags=re.M)
TABLES = {
    name: dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", rows, re.M))
    for name, _, rows in [("", "", HEAD), *(part.partition("\n") for part in PARTS)]
}


def knobs(section: type[Section], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every knob: its section, its name and its annotation."""
    for name, field in section.model_fields.items():
        annotation: Any = field.annotation
        below = get_args(annotation)[1] if get_origin(annotation) is dict else annotation
        dotted = f"{path}.{name}".lstrip(".")
        if isinstance(below, type) and issubclass(below, Section):
            yield from knobs(below, dotted)
        else:
            yield path, name, annotation


KNOBS = list(knobs(Params))


def literals(annotation: Any) -> Iterator[str]:
    """What a type lets be chosen from, however deep within it."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for part in get_args(annotation):
        yield from literals(part)


@pytest.mark.parametrize(("section", "name", "annotation"), KNOBS)
def test_every_knob_stands_in_its_sections_table(section: str, name: str, annotation: Any) -> None:
    cells = TABLES[section][name]
    for choice in literals(annotation):
        assert f"`{choice}`" in cells.partition(" | ")[0]


def test_the_tables_have_no_other_knob() -> None:
    assert {(section, name) for section, rows in TABLES.items() for name in rows} == {
        (section, name) for section, name, _ in KNOBS
    }


def test_bounds_are_said_in_words() -> None:
    assert kind_of({"type": "integer", "minimum": 1}) == "whole number, 1 or more"
    share = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    assert kind_of(share) == "number, above 0, at most 1"
    many = {"type": "array", "items": {"enum": ["last", "mean"]}, "minItems": 1}
    assert kind_of(many) == "list (1 or more) of: `last`, `mean`"
    assert kind_of({"type": "boolean"}) == "`true`, `false`"


def test_a_meaning_is_the_comment_beside_its_knob_however_many_lines_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    said = meanings()
    assert said["text"].startswith("one text = one chat-templated sequence")
    assert said["text.prompt_tokens"] == "the prompt's last tokens are kept"
    assert said["model.source"].endswith("path: a folder or a GGUF file of yours")
    assert said["corpora.embedded.train"] == "texts per concept in each split"
    assert said["control.probed_texts"] == "documents, facts and interpretations each"
    assert "finetune.learning_rate" in said
    assert not said["finetune.learning_rate"]
