"""The committed metrics, with bands over seeds."""

from functools import cache
from typing import Any

from pipeline.core.files import read_json
from pipeline.core.params import load_params
from pipeline.core.paths import METRICS, SEED_VALUES
from pipeline.reporting.seed_band import SeedValues, read_seed_values


def metrics_of(file: str) -> dict[str, Any]:
    """A file of metrics/; every estimate has its band beside it, if that is known."""
    return seed_values().beside(read_json(METRICS / file), f"{METRICS}/{file}")


@cache
def seed_values() -> SeedValues:
    return read_seed_values(SEED_VALUES, dict(load_params()))
