"""What a finished run says of itself: all that a card is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.params import Params, find_variant, load_params
from pipeline.core.paths import BASE_CARD, MANIFEST, METRICS, SEED_VALUES
from pipeline.core.sections import Variant
from pipeline.reporting.headline import STAGES, read_metrics
from pipeline.reporting.seed_band import read_seed_values


@dataclass(frozen=True)
class RunFiles:
    """Of one variant: its params, the card of the base model, the corpora's manifest, and the
    metrics of the variant and of the untouched model, by stage."""

    variant: str
    params: Params
    base: Mapping[str, Any]
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]
    untouched: Mapping[str, Any]

    @property
    def row(self) -> Variant:
        return self.params.variants[self.variant]

    @property
    def base_name(self) -> str:
        """What the base model is called: a repository with its revision, a package, a folder or,
        of one that was trained here, what it is."""
        revision = f"@{self.base['revision'][:12]}" if self.base["revision"] else ""
        return f"{self.base['origin'] or 'the model trained in the run'}{revision}"


def read_run(variant: str) -> RunFiles:
    """Raises InputError for a variant that there is not, and where its results are missing."""
    params = load_params()
    find_variant(params.variants, variant)
    needed(BASE_CARD, MANIFEST, METRICS / "text_only.json")
    needed(*(METRICS / stage / f"{name}.json" for stage in STAGES for name in ("base", variant)))
    seeds = read_seed_values(SEED_VALUES, dict(params))
    return RunFiles(
        variant,
        params,
        read_json(BASE_CARD),
        read_json(MANIFEST),
        read_metrics(METRICS, variant, seeds),
        read_metrics(METRICS, "base", seeds),
    )


def needed(*paths: Path) -> None:
    """Raises InputError for the first file that a finished run would have, and is not there."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is missing; a finished run has it: dvc repro")
