"""Numbers of tables: an interval over texts, a band over seeds, bold where a change is clear."""

from pipeline.reporting.markdown import drawn, markdown_tables, said

ESTIMATE = {"value": 0.05, "low": 0.01, "high": 0.09}
BANDED = ESTIMATE | {"seeds_low": 0.002, "seeds_high": 0.1}


def test_a_number_stands_with_its_interval_and_its_band() -> None:
    assert said(BANDED) == "0.050 [0.010, 0.090] seeds [0.002, 0.100]"
    assert said(BANDED, joint="<br>") == "0.050<br>[0.010, 0.090]<br>seeds [0.002, 0.100]"
    assert said(BANDED | {"low": -0.0123}, short=True) == "0.050 [-.01, .09] seeds [.00, .10]"
    assert said(BANDED | {"high": 10.09}, short=True) == "0.050 [.01, 10.09] seeds [.00, .10]"


def test_a_number_without_band_says_so_and_nothing_is_nothing() -> None:
    assert said(ESTIMATE) == "0.050 [0.010, 0.090] texts only"
    assert said({}) == ""


def test_a_change_is_bold_where_it_is_clear() -> None:
    assert said(BANDED, "+") == "**+0.050** [+0.010, +0.090] seeds [+0.002, +0.100]"
    assert said(BANDED | {"seeds_low": -0.1}, "+").startswith("+0.050 ")
    assert said(BANDED | {"low": -0.1}, "+").startswith("+0.050 ")


def test_tables_are_found_as_they_were_drawn() -> None:
    first, second = drawn(["a", "b"], [["1", "2"]]), drawn(["c"], [])
    assert first == "| a | b |\n|---|---|\n| 1 | 2 |"
    assert markdown_tables(f"text\n\n{first}\n\nmore\n\n{second}\n") == [first, second]
