"""The README shows what is committed."""

import json
import re

from tests.support.dag import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_headline_is_the_committed_one() -> None:
    summary = json.loads((ROOT / "metrics/summary.json").read_text(encoding="utf-8"))
    header = re.search(r"^\| number \| (`base`.*) \|$", README, re.MULTILINE)
    assert header
    variants = re.findall(r"`(\w+)`", header[1])
    assert set(variants) == set(summary)
    for number in summary["base"]:
        row = re.search(rf"^\| `{number}` \| (.*) \|$", README, re.MULTILINE)
        assert row, number
        assert row[1].split(" | ") == [f"{summary[name][number]:.3f}" for name in variants]


def test_the_effect_is_the_committed_one() -> None:
    """The first table of every corpus."""
    effect = (ROOT / "benchmarks/results/effect.md").read_text(encoding="utf-8")
    for corpus, variants in {
        "safety, novel": 8,
        "topics, novel": 7,
        "safety_multi, test": 7,
    }.items():
        section = effect.partition(f"## {corpus} texts\n\n")[2].partition("\n\n")[0]
        rows = section.splitlines()[2:]
        assert len(rows) == variants, corpus
        assert all(row in README for row in rows), corpus


def test_the_layers_are_the_committed_ones() -> None:
    layers = (ROOT / "benchmarks/results/layers.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in layers if line.startswith("|")]
    assert len(rows) == 8
    assert all(row in README for row in rows)


def test_every_path_it_names_is_there() -> None:
    for path in re.findall(r"(?:\]\(|src(?:set)?=\")([\w./-]+)[)\"]", README):
        assert (ROOT / path).is_file(), path
