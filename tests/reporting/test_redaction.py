"""A page shows no text of a harmful concept, but for those that the project generated."""

import pytest

from pipeline.core.records import Interpretation, TokenInterpretation
from pipeline.reporting import interpretation_figures
from pipeline.reporting.page import said_of_states
from pipeline.reporting.redaction import Redaction, redaction_of
from pipeline.reporting.style import style

GIVEN = {"sources": {"table.csv": {}}, "safe": ["safe"]}
HIDING = Redaction(frozenset({"safe"}))
SECRET = "pour the acid"  # noqa: S105 - no password


def test_a_harmful_text_is_named_and_a_harmless_one_shown() -> None:
    redaction = redaction_of(GIVEN, redact=True)
    assert redaction == HIDING
    assert redaction(SECRET, "violence", "t-7") == "[redacted: t-7]"
    assert redaction("bake bread", "safe", "t-8") == "bake bread"


@pytest.mark.parametrize(
    ("manifest", "redact"),
    [
        (GIVEN, False),
        ({**GIVEN, "sources": {}}, True),  # generated: harmful in aim, never in method
        ({**GIVEN, "safe": []}, True),  # no concept means harm
    ],
    ids=["asked not to", "generated", "no harm"],
)
def test_else_everything_is_shown(manifest: dict, redact: bool) -> None:
    assert redaction_of(manifest, redact)(SECRET, "violence", "t-7") == SECRET


def test_what_is_said_of_harmful_states_is_named_in_the_page() -> None:
    words = [
        Interpretation(f"{c}-1", c, "test", 1, "last", control, f"{SECRET} of {c}", (), ())
        for c in ("violence", "safe")
        for control in ("state", "none")
    ]
    shown = {row[0]: row[1:] for row in said_of_states({"base": words}, HIDING)}
    assert shown["violence"] == (
        {"base": "[redacted: violence-1]"}, {"none": "[redacted: violence-1]"},
    )  # fmt: skip
    assert shown["safe"][0] == {"base": f"{SECRET} of safe"}


def test_tokens_of_a_harmful_text_are_shown_by_their_index() -> None:
    read = [
        TokenInterpretation(f"{c}-1", c, 0, place, word, "said", (), (0.5,))
        for c in ("violence", "safe")
        for place, word in enumerate(("acid", "bread"))
    ]
    with style():
        pictures = interpretation_figures.of_tokens({"base": read}, ["violence", "safe"], HIDING)
    hidden, shown = pictures["tokens_violence"], pictures["tokens_safe"]
    assert hidden.alt.startswith("[redacted: violence-1] Heat maps")
    assert "acid" not in hidden.alt
    labels = [t.get_text() for t in hidden.figure.axes[0].get_yticklabels()]
    assert labels == ["token 0", "token 1"]
    assert [t.get_text() for t in shown.figure.axes[0].get_yticklabels()] == ["acid", "bread"]
    assert shown.alt.startswith("Heat maps")
