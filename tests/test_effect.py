"""The page of the effect over seeds: what is paired, what is corrected, what a claim needs."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import effect
from benchmarks.effect import CORPORA, FIRST, LOSSES, ROWS, SEEDS, collected, run_unit, write
from benchmarks.effect_comparisons import CONTRASTS
from benchmarks.effect_numbers import (
    FIXED,
    LED,
    MATCHED,
    OURS,
    RIVALS,
    SAMPLINGS,
    SPLITS,
    Seed,
    claim_of,
    drawn_both_ways,
    gain,
    leads,
    over_seeds,
    run_of,
)
from benchmarks.effect_page import page
from benchmarks.equal_kl import WORDS
from pipeline.core.files import read_json, write_json
from pipeline.core.params import load_params
from tests.support.dag import ROOT


def seeds_of(ours: float, count: int = 5) -> dict[str, Seed]:
    """Every variant's numbers near .5, ours above by so much."""
    rng = np.random.default_rng(0)

    def measured(name: str) -> dict[str, object]:
        names = ("probe_accuracy", "best_probe", "centroid_accuracy", "knn_accuracy", "silhouette")
        above = ours if name.startswith(OURS) else 0.0
        splits = {
            split: {number: 0.5 + above + 0.01 * rng.normal() for number in names}
            for split in SPLITS
        }
        costs = {"kl_to_base": 0.1, "kl_of_openings": 0.2, "perplexity": 2.0}
        return {"scale": 1.0, "costs": costs, "splits": splits}

    return {
        f"seed_{seed}": {
            "words": dict.fromkeys(SPLITS, 0.3),
            "variants": {
                name: {"own": measured(name), "equal_kl": measured(name)}
                for name in (*LOSSES, "shuffled")
            },
        }
        for seed in range(count)
    }


def found(corpora: dict[str, dict[str, Seed]]) -> dict[str, object]:
    return {"commit": "abc", "command": "python", "corpora": corpora}


def test_every_loss_is_run_with_both_samplings() -> None:
    variants = {
        name: row.sampling for name, row in load_params(ROOT / "params.yaml").variants.items()
    }
    for row, changed in ROWS.items():
        variants[row] = changed.get("sampling", variants[changed["of"]])
    for loss in SAMPLINGS:
        assert [variants[name] for name in drawn_both_ways(loss)] == ["balanced", "random"]
        for corpus in ("safety", "topics"):
            assert {*drawn_both_ways(loss)} <= {*CORPORA[corpus].variants}


def test_seeds_are_none_that_anything_was_chosen_on() -> None:
    assert not {*SEEDS} & {*load_params(ROOT / "params.yaml").seeds}


def test_p_is_students() -> None:
    values = [0.1, 0.3, 0.2, 0.4]
    assert over_seeds(values)["p"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert over_seeds([0.2])["p"] == over_seeds([0.2, 0.2])["p"] == 1


def test_a_gain_is_paired_by_seed_and_the_frozen_probe_is_the_untouched_models_best() -> None:
    seeds = [*seeds_of(0.1).values()]
    runs = [run_of(seed, "novel", MATCHED) for seed in seeds]
    expected = np.mean([r[OURS]["silhouette"] - r["base"]["silhouette"] for r in runs])
    assert gain(runs, OURS, "base", "silhouette")["value"] == pytest.approx(expected)
    for seed, run in zip(seeds, runs, strict=True):
        frozen = seed["variants"]["base"]["own"]["splits"]["novel"]["best_probe"]
        for row in run.values():
            assert row["above_best_frozen"] == row["probe_accuracy"] - frozen
            assert row["best_above_frozen"] == row["best_probe"] - frozen


def test_leads_hold_pairs_that_were_drawn_alike_against_each_other() -> None:
    found = leads([run_of(seed, "test", MATCHED) for seed in seeds_of(0.1).values()])
    assert len(found) == 2 * (len(RIVALS) - 1) * len(LED)
    assert all(lead["value"] > 0.05 for lead in found.values())


@pytest.mark.parametrize(("ours", "holds"), [(0.3, True), (0.012, False)])
def test_a_claim_outlives_the_correction_or_fails(ours: float, holds: bool) -> None:
    """Of 120 leads at equal KL, one that is barely outside its interval is not claimed."""
    text = page(found({"safety": seeds_of(ours)}))
    rows = [line for line in text.splitlines() if line.startswith(f"| {OURS} above ")]
    assert len(rows) == 3 * 2 * (len(RIVALS) - 1) * len(LED) == 120
    assert all(row.endswith("| yes |") for row in rows) == holds
    assert "| balanced minus random |" in text
    assert "corrected by Holm for all 120 leads" in text


def test_what_one_seed_could_not_match_is_a_mean_of_the_others() -> None:
    seeds = seeds_of(0.1)
    del seeds["seed_3"]["variants"]["supcon"]["equal_kl"]
    as_is, _, matched = page(found({"topics": seeds})).partition("at equal KL\n")
    assert "\n| supcon | 5 |" in as_is
    assert "\n| supcon | 4 |" in matched
    runs = [run_of(seed, "test", MATCHED) for seed in seeds.values()]
    del runs[3]
    assert leads(runs)[claim_of("supcon", "silhouette")] == gain(runs, OURS, "supcon", "silhouette")


def test_losses_that_no_seed_has_make_no_claims() -> None:
    seeds = seeds_of(0.1)
    for seed in seeds.values():
        for name in {*seed["variants"]} - {*FIRST}:
            del seed["variants"][name]
    text = page(found({"topics": seeds}))
    assert "supcon" not in text
    assert "Of all 24 leads" in text


@pytest.mark.parametrize(("ours", "marks"), [(0.3, "**+0.3"), (0.012, "| +0.0")])
def test_what_a_contrast_gains_is_bold_where_it_is_clear(ours: float, marks: str) -> None:
    text = page(found({"topics": seeds_of(ours)}))
    section = text.partition("## Is contrast needed?")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| topics | ")]
    assert len(rows) == len(SPLITS) * len(FIXED)
    assert all(marks in row for row in rows)
    assert f"corrected together, this many hold: {120 * (ours > 0.1)};" in section


@pytest.mark.parametrize(("ours", "marks"), [(0.3, "**+0."), (0.0, "+0.0")])
def test_contrasts_are_compared_on_pairs_drawn_alike(ours: float, marks: str) -> None:
    """Ours under either sampling is above every other contrast under the same one, or none is."""
    text = page(found({"topics": seeds_of(ours)}))
    section = text.partition("## Which contrast?")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[3:] for line in section.splitlines() if line.startswith("| topics |")]
    assert len(rows) == len(SPLITS) * len(CONTRASTS)
    assert all(("**" in cell) == (ours > 0) for row in rows for cell in row)
    assert any(marks in cell for row in rows for cell in row)


def test_a_sampling_that_gains_is_bold_and_one_that_does_not_is_not() -> None:
    seeds = seeds_of(0.0)
    for seed in seeds.values():
        for split in SPLITS:
            seed["variants"]["supcon"]["equal_kl"]["splits"][split]["silhouette"] += 0.3
    text = page(found({"topics": seeds}))
    section = text.partition("## Which pairs?")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| topics |")]
    bold = [(row[2], n) for row in rows for n in (3, 4) if "**" in row[n]]
    assert bold == [("supcon", 4)] * len(SPLITS)


def test_what_is_finished_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant is measured once; the rest of its unit waits for it."""
    made: list[str] = []

    def measured(folder: Path, module: str, *arguments: str) -> None:
        names = arguments[arguments.index("--variants") + 1 : -2]
        made.extend(names)
        for name in (*names, WORDS.removesuffix(".json")):
            write_json(Path(arguments[-1]) / f"{name}.json", {"of": name})

    monkeypatch.setattr(effect, "python", measured)
    monkeypatch.setattr(effect, "clone", lambda folder: folder)
    monkeypatch.setattr(effect, "set_params", lambda *_: None)
    monkeypatch.setattr(effect, "repro", lambda *_: None)
    corpus, found = CORPORA["topics"], tmp_path / "found" / "abc"
    kept = found / "topics-20"
    assert collected(kept, corpus) is None
    for variants in (["base"], ["base", OURS], ["base", OURS]):
        run_unit(tmp_path / "topics-20", found, 20, corpus, variants)
    assert made == ["base", OURS]
    own = collected(kept, corpus)
    assert own
    assert {*own["variants"]} == {"base", OURS}


def test_a_part_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    def unit(folder: Path, *_: object) -> None:
        if folder.name == "topics-20":
            sys.exit("no room")
        made.append(folder.name)

    monkeypatch.setattr(effect, "run_unit", unit)
    line = f"effect --work {tmp_path} --out {tmp_path} --corpora topics --workers 1 --commit abc"
    monkeypatch.setattr(sys, "argv", line.split())
    with pytest.raises(SystemExit, match="2 of 10 parts failed"):
        effect.main()
    assert made == [f"topics-{seed}" for _ in range(2) for seed in SEEDS[1:]]
    assert capsys.readouterr().err.count("no room") == 2
    assert read_json(tmp_path / "effect.json")["corpora"] == {}


def test_the_committed_page_is_that_of_the_committed_numbers() -> None:
    results = ROOT / "benchmarks/results"
    text = (results / "effect.md").read_text(encoding="utf-8")
    assert page(read_json(results / "effect.json")) == text


def test_a_page_of_what_is_finished_so_far(tmp_path: Path) -> None:
    """What has no second seed has no interval, and stands in effect.json alone."""
    two = seeds_of(0.1, count=2)
    for name in ("supcon", "supcon_random"):
        del two["seed_1"]["variants"][name]
    write(tmp_path, {"topics": two, "safety": seeds_of(0.1, count=1), "real": {}}, "abc")
    text = (tmp_path / "effect.md").read_text(encoding="utf-8")
    assert "## topics, shifted texts, at equal KL" in text
    assert "| infonce | 2 |" in text
    assert not re.search("safety|real|supcon [|]", text)
    assert {*read_json(tmp_path / "effect.json")["corpora"]} == {"topics", "safety"}
