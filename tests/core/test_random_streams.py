"""Every random draw belongs to a named stream."""

import ast
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.random_streams import RandomStream, rng_of
from tests.support.dag import ROOT

REGISTRY = Path("pipeline/core/random_streams.py")
MAKERS = {"default_rng", "SeedSequence", "RandomState"}  # of numpy's generators
SEEDERS = {"manual_seed", "seed_all", "manual_seed_all"}  # of torch's
SOURCES = [
    path.relative_to(ROOT)
    for package in ("pipeline", "stages")
    for path in sorted((ROOT / package).rglob("*.py"))
]


def calls(path: Path, names: set[str]) -> Iterator[ast.Call]:
    """The calls of functions of these names in a file."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names:
            yield node


def test_no_number_is_used_twice() -> None:
    numbers = [stream.value for stream in RandomStream.__members__.values()]
    assert len(set(numbers)) == len(numbers)


def test_numpy_generators_are_made_in_the_registry_alone() -> None:
    assert {path for path in SOURCES if any(calls(path, MAKERS))} == {REGISTRY}


def test_torch_is_never_seeded_with_a_literal() -> None:
    seeds = [
        (path, seed) for path in SOURCES for call in calls(path, SEEDERS) for seed in call.args
    ]
    assert [(path, seed.lineno) for path, seed in seeds if isinstance(seed, ast.Constant)] == []


def test_every_stream_is_drawn_from() -> None:
    code = "".join((ROOT / path).read_text(encoding="utf-8") for path in SOURCES)
    assert [name for name in RandomStream.__members__ if f"RandomStream.{name}," not in code] == []


def test_streams_of_one_seed_differ_and_a_stream_repeats_itself() -> None:
    first, again = (rng_of(RandomStream.PAIRS, 3, 1, 2).random(4) for _ in range(2))
    assert (first == again).all()
    drawn = {tuple(rng_of(stream, 3).random(4)) for stream in RandomStream}
    assert len(drawn) == len(RandomStream)
