"""What the project claims of the method over fresh seeds, on both generated concept sets.

A claim holds where its mean over seeds is above 0, its 95 % interval too, it is clear after Holm's
correction for all claims of its kind, and its control lies clear of it. There are two kinds: what
the method adds to the best frozen probe, and what a contrast adds on novel texts to losses without
one. Claims that fail stay on the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.effect_numbers import (
    AS_IT_IS,
    FIXED,
    MATCHED,
    OURS,
    Estimate,
    Seed,
    gain,
    having,
    mean,
    run_of,
    said,
)
from benchmarks.effect_page import RESULTS
from pipeline.core.files import read_json
from pipeline.reporting.comparison import corrected, is_clear
from pipeline.reporting.markdown import drawn

WHERE = {
    "test": "on texts like its own",
    "novel": "in words that no label ever had",
    "shifted": "in other sentences",
}
CONTRAST = {
    "best_probe": "lets the best probe name more concepts",
    "silhouette": "parts concepts further",
}


@dataclass(frozen=True)
class Claim:
    """says: in words; lead: over seeds; control: what it must lie clear of, if anything."""

    says: str
    lead: Estimate
    control: Estimate | None
    refuted_by: str

    def verdict(self) -> str:
        if not (self.lead["value"] > 0 and is_clear(self.lead)):
            return "fails"
        clear = self.control is None or self.control["high"] < self.lead["low"]
        return "holds" if clear else "fails: not clear of its control"


def claims(found: Mapping[str, Any]) -> list[Claim]:
    """found: effect.json."""
    corpora = found["corpora"]
    return [
        claim
        for family in (gains, contrasts)
        for claim in together([c for name, seeds in corpora.items() for c in family(name, seeds)])
    ]


def gains(concepts: str, seeds: Mapping[str, Seed]) -> list[Claim]:
    """What the method adds to the best frozen probe."""
    made = []
    for split, where in WHERE.items():
        own, moved = (
            [run_of(seed, split, how) for seed in seeds.values()] for how in (AS_IT_IS, MATCHED)
        )
        if having(own, OURS) and having(moved, "shuffled"):
            lead = mean(own, OURS, "best_above_frozen")
            control = mean(moved, "shuffled", "best_above_frozen")  # as far moved
            says = (
                f"`{concepts}`: the best probe of the finetuned model names more concepts than the "
                f"best frozen one, {where}."
            )
            made.append(Claim(says, lead, control, "the best frozen probe does as well"))
    return made


def contrasts(concepts: str, seeds: Mapping[str, Seed]) -> list[Claim]:
    """What a contrast adds to losses without one."""
    runs = [run_of(seed, "novel", MATCHED) for seed in seeds.values()]
    return [
        Claim(
            f"`{concepts}`: a contrast {does} than `{rival}` at equal KL, {WHERE['novel']}.",
            gain(runs, OURS, rival, number),
            None,
            f"`{rival}` does as well",
        )
        for rival in FIXED
        if having(runs, OURS, rival)
        for number, does in CONTRAST.items()
    ]


def together(family: Sequence[Claim]) -> list[Claim]:
    """Claims with p values corrected for their number."""
    leads = corrected({claim.says: claim.lead for claim in family})
    return [replace(claim, lead=leads[claim.says]) for claim in family]


def table_of_claims_over_seeds() -> str:
    return drawn_claims(claims(read_json(RESULTS / "effect.json")))


def drawn_claims(made: list[Claim]) -> str:
    """A row a claim; those that fail stand last."""
    rows = [
        [
            claim.says,
            f"{said(claim.lead, '+')}, p {claim.lead['p']:.3f}",
            said(claim.control, "+") if claim.control else "",
            claim.refuted_by,
            claim.verdict(),
        ]
        for claim in sorted(made, key=lambda claim: claim.verdict().startswith("fails"))
    ]
    return drawn(["claim", "mean over seeds", "control", "refuted by", "verdict"], rows)
