"""How far every number moves where the seed alone differs, beside its interval over texts.

An interval that resamples texts holds the trained model fixed, and says nothing of another draw of
the same run. `make seeds` runs the pipeline once per seed and keeps every number's values. Their
band is the 95 % prediction interval of one more run: mean +- t(.975, n - 1) sd sqrt(1 + 1/n).
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

from scipy.special import stdtrit

from pipeline.core.files import read_json
from pipeline.core.sections import Section

SeedNumbers = Mapping[str, Sequence[float | None]]  # by key path, in the order of seeds
# Sections that decide no number, or only which judges' numbers there are; and the seed.
NO_PART = ("figures", "judging", "runtime", "seed", "seeds")


@dataclass(frozen=True)
class SeedValues:
    """Every number of a run by seed: file of metrics -> key path -> values; None where a seed has
    no such number. Empty where no band belongs to the params."""

    commit: str = ""
    seeds: Sequence[int] = ()
    numbers: Mapping[str, SeedNumbers] = field(default_factory=dict)

    def beside(self, tree: Mapping[str, Any], file: str) -> dict[str, Any]:
        """A file's metrics, in which every estimate {value, low, high} also has `seeds_low` and
        `seeds_high`, if its band is known."""
        return _beside(tree, self.numbers.get(file, {}), "")


def read_seed_values(path: Path, sections: Mapping[str, object]) -> SeedValues:
    """What `make seeds` wrote, if it is there and of these sections of params."""
    if not path.is_file():
        return SeedValues()
    held = read_json(path)
    if held["params"] != params_digest(sections):
        return SeedValues()
    return SeedValues(held["commit"], held["seeds"], held["numbers"])


def params_digest(sections: Mapping[str, object]) -> str:
    """One digest of all params that decide numbers, but for the seed. Of a section that chooses a
    source, other sources' knobs have no part."""
    deciding = {name: _chosen(s) for name, s in sections.items() if name not in NO_PART}
    text = json.dumps(deciding, default=Section.model_dump, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _chosen(section: object) -> object:
    source = getattr(section, "source", None)
    if source is None or not isinstance(section, Section):
        return section
    sources = get_args(type(section).model_fields["source"].annotation)
    return {name: knob for name, knob in section if name == source or name not in sources}


def numbers_of(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf by its dotted key path; an estimate {value, low, high} counts as its value."""
    for key, entry in tree.items():
        path = f"{prefix}{key}"
        if not isinstance(entry, Mapping):
            yield path, entry
        elif "value" in entry:
            yield path, entry["value"]
        else:
            yield from numbers_of(entry, f"{path}.")


def band(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Both ends of the 95 % prediction interval of one more value; nothing of fewer than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    mean = math.fsum(known) / len(known)
    reach = quantile(len(known) - 1) * deviation(known) * math.sqrt(1 + 1 / len(known))
    return mean - reach, mean + reach


def tolerance(values: Sequence[float | None]) -> float:
    """What 95 % of the differences of two runs do not exceed: t(.975, n - 1) sd sqrt(2); 0 for
    fewer than two values."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return 0.0
    return quantile(len(known) - 1) * deviation(known) * math.sqrt(2)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation (n - 1), exactly 0 where all values are one."""
    if min(values) == max(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


@cache
def quantile(freedom: int) -> float:
    """Of Student's t, below which 97.5 % lie."""
    return float(stdtrit(freedom, 0.975))


def _beside(tree: Mapping[str, Any], own: SeedNumbers, path: str) -> dict[str, Any]:
    if "value" in tree:
        ends = band(own.get(path, ()))
        return {**tree, **({"seeds_low": ends[0], "seeds_high": ends[1]} if ends else {})}
    return {
        key: _beside(entry, own, f"{path}.{key}" if path else key)
        if isinstance(entry, Mapping)
        else entry
        for key, entry in tree.items()
    }
