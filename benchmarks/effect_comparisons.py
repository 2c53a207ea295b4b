"""The comparisons of benchmarks.effect's page: a contrast with none, one contrast with another,
and pairs that are balanced with pairs that are drawn at random."""

from collections.abc import Mapping, Sequence

from benchmarks.effect_numbers import (
    FIXED,
    LED,
    MATCHED,
    OURS,
    RIVALS,
    SAMPLINGS,
    Estimate,
    Run,
    alike,
    drawn_both_ways,
    gain,
    having,
    said,
)
from pipeline.reporting.comparison import corrected, is_clear
from pipeline.reporting.markdown import drawn

Runs = Mapping[tuple[str, str, str], Sequence[Run]]  # by concepts, split, and whether at equal KL
Change = tuple[str, str, str, str]  # concepts, split, loss, and number
CONTRASTS = ("infonce", "nt_xent", "supcon")  # beside ours
PARTED = ("best_probe", "silhouette")


def without_a_contrast(runs: Runs, judged: Mapping[tuple[str, ...], Estimate]) -> list[str]:
    """Our loss minus those without a contrast, at equal KL, the same pairs; and how many leads
    hold."""
    shown = corrected({
        (corpus, split, rival, number): gain(own, OURS, rival, number)
        for (corpus, split, how), own in runs.items()
        for rival in FIXED
        if how == MATCHED and having(own, OURS, rival)
        for number in LED
    })  # fmt: skip
    held = [key[-1] for key, lead in judged.items() if holds(lead)]
    behind = [key[-1] for key, lead in judged.items() if lead["value"] < 0 and is_clear(lead)]
    return [
        f"{OURS} minus a loss without a contrast, both with balanced pairs and at equal KL; bold "
        f"where it is clear after Holm's correction for these {len(shown)}. Of all {len(judged)} "
        f"leads over other losses, corrected together, this many hold: {len(held)}; and this many "
        f"are clearly on the other side: {len(behind)}.",
        "",
        _drawn_changes("minus", LED, shown),
    ]


def other_contrasts(runs: Runs) -> list[str]:
    """Our loss minus the other contrasts, at equal KL, on pairs that were drawn alike."""
    shown = corrected({
        (corpus, split, rival, f"{number}, {sampling}"): gain(own, ours, other, number)
        for (corpus, split, how), own in runs.items()
        for rival in CONTRASTS
        for number in PARTED
        for sampling, ours, other in alike(rival)
        if how == MATCHED and having(own, ours, other)
    })  # fmt: skip
    columns = [f"{number}, {sampling}" for number in PARTED for sampling in ("balanced", "random")]
    return [
        f"{OURS} minus another contrast, both with balanced pairs or both with pairs drawn at "
        f"random, at equal KL; bold where it is clear after Holm's correction for these "
        f"{len(shown)}.",
        "",
        _drawn_changes("minus", columns, shown),
    ]


def other_pairs(runs: Runs) -> list[str]:
    """What the sampling does to every loss, at equal KL."""
    shown = corrected({
        (corpus, split, loss, number): gain(own, *drawn_both_ways(loss), number)
        for (corpus, split, how), own in runs.items()
        for loss in SAMPLINGS
        if how == MATCHED and having(own, *drawn_both_ways(loss))
        for number in PARTED
    })  # fmt: skip
    return [
        f"Balanced pairs minus pairs drawn at random, at equal KL; bold where it is clear after "
        f"Holm's correction for these {len(shown)}.",
        "",
        _drawn_changes("loss", PARTED, shown),
    ]


def _drawn_changes(third: str, numbers: Sequence[str], changes: Mapping[Change, Estimate]) -> str:
    """A row a corpus, split and loss; a cell is empty where too few seeds are finished."""
    rows = [
        [*key, *(bold(changes[*key, n]) if (*key, n) in changes else "" for n in numbers)]
        for key in dict.fromkeys(key[:3] for key in changes)
    ]
    return drawn(["concepts", "texts", third, *numbers], rows)


def holds(lead: Estimate) -> bool:
    return lead["value"] > 0 and is_clear(lead)


def bold(change: Estimate) -> str:
    """A change, in bold where it is clear."""
    value, _, rest = said(change, "+").partition(" ")
    return f"**{value}** {rest}" if is_clear(change) else f"{value} {rest}"


def gains(runs: Sequence[Run]) -> list[str]:
    """The label-aware losses against the others and the untouched model, seed by seed."""
    lines = list[str]()
    numbers = (*LED, "kl_to_base", "kl_of_openings")
    for variant in (name for name in ("supcon", OURS) if having(runs, name)):
        rows = [
            [rival, *(said(gain(runs, variant, rival, number), "+") for number in numbers)]
            for rival in RIVALS
            if rival != variant and having(runs, variant, rival)
        ]
        lines += ["", drawn([f"{variant} minus", *numbers], rows)]
    return lines[1:]


def samplings(runs: Sequence[Run]) -> list[str]:
    """What the sampling does to every loss, seed by seed."""
    rows = [
        [loss, *(said(gain(runs, *drawn_both_ways(loss), number), "+") for number in LED)]
        for loss in SAMPLINGS
        if having(runs, *drawn_both_ways(loss))
    ]
    return ["", drawn(["balanced minus random", *LED], rows)] if rows else []
