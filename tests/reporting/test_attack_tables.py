"""Rows of what attacks leave of monitors: none is lost, and only clear changes are counted."""

from typing import Any

from pipeline.reporting.attack_tables import attack_rows, clear_changes

RATE = "1_percent"


def marks(value: float, reach: float = 0.1) -> dict[str, dict[str, float]]:
    return {f"tpr_for_{RATE}": {"value": value, "low": value - reach, "high": value + reach}}


def trees() -> dict[str, Any]:
    def tree(found: float, of: str) -> dict[str, Any]:
        return {
            "logistic": {
                "token_suffix": marks(found), "unattacked": marks(0.9), "framed": marks(found),
                f"token_suffix_of_{of}": marks(0.5), "threshold_for_1_percent": 0.3,
            },
            "words": {"framed": marks(0.8)},
        }  # fmt: skip

    change = {
        "logistic": {"token_suffix": marks(0.3), "framed": marks(0.05), "unattacked": marks(-0.5)},
        "words": {"framed": marks(0.4)},
    }
    return {"base": tree(0.1, "tuned"), "tuned": tree(0.4, "base") | {"difference": change}}


def test_rows_stand_in_the_order_of_attacks_and_lose_nothing() -> None:
    rows = attack_rows(trees(), RATE)
    assert [(row.monitor, row.attack) for row in rows] == [
        ("logistic", "unattacked"), ("logistic", "framed"), ("logistic", "token_suffix"),
        ("logistic", "token_suffix_of_base"), ("logistic", "token_suffix_of_tuned"),
        ("words", "framed"),
    ]  # fmt: skip
    assert set(rows[1].found) == {"base", "tuned"}
    assert set(rows[1].change) == {"tuned"}
    assert set(rows[3].found) == {"tuned"}


def test_clear_changes_are_those_of_attacks_on_a_variants_own_monitors() -> None:
    rows = attack_rows(trees(), RATE)
    assert clear_changes(rows, "tuned") == (1, 0, 2)
    assert clear_changes(rows, "base") == (0, 0, 0)


def test_where_nothing_was_attacked_there_are_no_rows() -> None:
    assert attack_rows({"base": {}, "tuned": {}}, RATE) == []
