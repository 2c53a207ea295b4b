"""What the page says of models that were trained further is what their metrics say."""

from pathlib import Path

import pytest

from pipeline.core.files import write_json
from pipeline.core.scored_sets import EVERYDAY
from pipeline.reporting.hiding_tables import hiding_rows, protection, read_hiding
from tests.support.further import RATE, further
from tests.support.matrix import marks


def test_the_untouched_model_comes_first_and_nothing_is_there_without_training(
    tmp_path: Path,
) -> None:
    assert read_hiding(tmp_path) == {}
    for name in ("a_variant", "base"):
        write_json(tmp_path / f"{name}.json", further(0.25))
    assert list(read_hiding(tmp_path)) == ["base", "a_variant"]
    assert hiding_rows({}, RATE) == protection({}, RATE) == []


def test_a_row_holds_what_was_measured_and_nothing_else() -> None:
    before, hidden = hiding_rows({"base": further(0.25)}, RATE)
    assert (before.variant, before.when) == ("base", "before")
    many, few, raised, rarely = (marks(value) for value in (0.75, 0.25, 0.1875, 0.0625))
    at, area = marks(0.875), marks(1.0)
    assert before.numbers == [many, None, raised, None, at, None, area, None, few, None]
    assert hidden.numbers == [few, many, rarely, raised, at, at, area, area, None, marks(0.125)]


def test_recall_at_a_low_rate_is_of_everyday_texts_where_there_are_any() -> None:
    tree = further(0.25)
    tree["hiding"]["frozen"][EVERYDAY] = {f"tpr_at_{RATE}": marks(0.5)}
    *_, hidden = hiding_rows({"base": tree}, RATE)
    assert hidden.numbers[4:6] == [marks(0.5), marks(0.875)]


@pytest.mark.parametrize(
    ("apart", "verdict"),
    [
        (0.25, "more is left of the finetuned model's monitor"),
        (0.0, "the finetune gives it no protection that shows"),
        (-0.25, "less is left of the finetuned model's monitor"),
    ],
)
def test_a_finetune_protects_where_the_paired_interval_of_ranks_says_so(
    apart: float, verdict: str
) -> None:
    """Whatever the two values are; of a threshold it is said what it finds and what that costs."""
    said, ranks = protection({"base": further(0.25), "tuned": further(0.5, apart)}, RATE)
    paired = f"({apart:+.3f} [{apart - 0.125:+.3f}, {apart + 0.125:+.3f}])"
    assert said == (
        "After training to hide, the saved monitor's threshold finds 0.250 of harmful test texts "
        f"in base and 0.500 in tuned {paired}, and takes 0.062 and 0.125 of harmless ones for harm "
        f"{paired}."
    )
    assert ranks == (
        "After training to hide, its AUROC is 1.000 in base and 1.000 in tuned "
        f"{paired}: {verdict}."
    )
