"""The page: it answers what the intervals show and no more, escapes what it is given, and stands in
a real browser, wide and narrow, light and dark, on paper and for a keyboard.

A browser is an installed Chromium (or the one that CHROMIUM names); none is ever fetched.

Longer than other files, as what is said, how it looks and how it behaves is one page.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.core.params import load_params
from pipeline.core.records import Interpretation
from pipeline.reporting import figures
from pipeline.reporting import page as report
from pipeline.reporting.answers import ON_FIRST_SCREEN, Answer, answers
from pipeline.reporting.attack_tables import attack_rows
from pipeline.reporting.comparison import Beside, Line, change_of, changes_from_baseline
from pipeline.reporting.edit_table import BESIDE_EDIT
from pipeline.reporting.evidence import EVIDENCE, evidence
from pipeline.reporting.glossary import MEANINGS
from pipeline.reporting.headline import Headline
from pipeline.reporting.monitor_matrix import matrix_cells, rows_by_set
from pipeline.reporting.page import ReportContents, read_pins, render_report
from pipeline.reporting.redaction import Redaction
from pipeline.reporting.seed_band import SeedValues
from pipeline.reporting.style import contrast_ratio
from pipeline.reporting.svg import Picture, write_picture
from tests.support import matrix
from tests.support.dag import ROOT
from tests.support.further import RATE, further

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = "<script>console.error('run')</script><img src=https://example.org/x.png>&\"'"


def row(shift: float = 0.0, **without: None) -> Headline:
    """Every headline number at 0.5 + shift, its interval 0.1 wide; of those that are differences
    themselves, at `shift`."""
    marks = {"value": 0.5 + shift, "low": 0.45 + shift, "high": 0.55 + shift}
    above = {"value": shift, "low": shift - 0.01, "high": shift + 0.01}
    return {
        name: dict(above if name.startswith("above") else marks)
        for name in MEANINGS
        if name not in without
    }


SHARE = {"value": 0.25, "low": 0.1, "high": 0.5, "of": 40}


def paired(shift: float, reach: float = 0.01) -> Headline:
    """Every paired difference at `shift`; the best of several controls has none."""
    marks = {"value": shift, "low": shift - reach, "high": shift + reach}
    return {name: dict(marks) for name in MEANINGS if name != "selfie_control_accuracy"}


def lead(value: float) -> Line:
    marks = {"value": value, "low": value - 0.05, "high": value + 0.05}
    return Line("lead", marks, marks, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportContents:
    """A run of every picture, with hostile words wherever words come from outside."""
    folder = tmp_path_factory.mktemp("figures")
    shown = Figure((7.4, 4))
    for name in (name for captions in EVIDENCE.values() for name in captions):
        for theme in ("light", "dark"):
            write_picture(folder / theme / f"{name}.svg", Picture(shown, f"{name}: 1. {HOSTILE}"))
    said = [
        Interpretation(f"{n}", f"concept_{n}{HOSTILE}", "test", 1, "last", control, HOSTILE, (), ())
        for n in range(3) for control in ("state", "none", "other", "base_reader", "probe")
    ]  # fmt: skip
    names = ["base", "tuned", "shuffled", *(f"a_variant_{number}" for number in range(9))]
    return ReportContents(
        rows={name: row(0.2 if name == "tuned" else 0.0) for name in names},
        differences={name: paired(0.2 if name == "tuned" else 0.0) for name in names},
        baseline={"base": {"perplexity": 0.4}, "tuned": {"perplexity": 0.71}},
        compared=["base", "tuned"],
        controls=["shuffled"],
        manifest={
            "concepts": [f"concept_{n}{HOSTILE}" for n in range(3)],
            "licence": HOSTILE, "dropped": {HOSTILE: 3}, "requests": 4,
            "rows": {HOSTILE: {"test": 2, "train": 5}, "other": {"train": 1}},
            "sha256": {"examples.jsonl": "0" * 64}, "sources": {"repo": {HOSTILE: "1" * 200}},
        },
        card={"architecture": HOSTILE, "origin": "", "files": {HOSTILE: {"sha256": "2" * 64}}},
        text_only={
            question: {
                reading: {"test": {measure: row()["perplexity"]}} for reading in ("prompt", "whole")
            }
            for question, measure in (("concept", "accuracy"), ("harm", "auroc"))
        },
        words={"base": said, "tuned": said},
        selfie={
            name: {"lead over the best control": row()["perplexity"]}
            | ({} if name == "base" else {"change from base": row(-0.8)["perplexity"]})
            for name in names
        },
        matrix=rows_by_set(
            matrix_cells(
                {"base": matrix.monitors(0.5), "tuned": matrix.monitors(0.875, base=0.5)},
                matrix.words(),
                "last",
            ),
            "logistic",
            ["base", "tuned"],
        ),
        hiding={"base": further(0.0), "tuned": further(0.25, 0.25)},
        rate=RATE,
        judge=dict.fromkeys(("agreement", "words", "words_shuffled"), row()["perplexity"]),
        judges={HOSTILE: {
            "sentences": {"refused": {"missed": SHARE, "false_alarms": SHARE}, "unparsed": 3},
            "texts": {"harmful": {"missed": SHARE}, "unparsed": 0},
        }},
        attacks=attack_rows(
            {"base": {HOSTILE: {"framed": {"tpr_for_1_percent": SHARE}}}, "tuned": {}},
            "1_percent",
        ),
        safety={"base": {}, "tuned": {
            "judges": {HOSTILE: {"all": {"harmful_rate": SHARE}, "unparsed": 1}}, "greedy": {},
        }},
        control={
            "edit": {"heldout": {"reply_kl": {"change": row()["perplexity"]}}},
            "edit.steering": {
                "heldout": {"reply_kl": dict.fromkeys(BESIDE_EDIT, row()["perplexity"])},
                "match": {"edit_effect": 0.2, "effect": 0.1, "strength": 4.0, "is_reached": False},
            },
        },
        redaction=Redaction(),
        seeds=SeedValues(),
        figures=folder,
        pins={"torch": "2.13.0"},
        params={"seed": 0, "corpora": {"csv": {"folder": HOSTILE * 5, "safe": ["a", "b"]}}},
        read_at="layer 1, position last",
    )  # fmt: skip


# Words


def test_a_change_is_clear_where_the_paired_interval_excludes_zero() -> None:
    """However wide the two intervals are that all texts have in common, and only there."""
    before, after = row()["knn_accuracy"], row(0.02)["knn_accuracy"]
    verdicts = {
        (0.01, 0.03): "better", (0.0, 0.04): "unclear", (-0.01, 0.05): "unclear",
    }  # fmt: skip
    for (low, high), outcome in verdicts.items():
        moved = {"value": 0.02, "low": low, "high": high}
        assert change_of("knn_accuracy", before, after, moved).outcome == outcome
        backwards = {"value": -0.02, "low": -high, "high": -low}
        other = {"better": "worse"}.get(outcome, outcome)
        assert change_of("knn_accuracy", after, before, backwards).outcome == other
    assert change_of("knn_accuracy", before, after).outcome == "unclear", "intervals overlap"
    apart = row(0.2)["knn_accuracy"]
    assert change_of("knn_accuracy", before, apart, paired(0.2, 0.3)["silhouette"]).outcome == (
        "unclear"
    ), "apart, and yet not clear: the pairs say so"


def test_unpaired_a_change_is_clear_where_intervals_are_apart() -> None:
    near, far, low = row()["knn_accuracy"], row(0.2)["knn_accuracy"], row(-0.2)["knn_accuracy"]
    assert change_of("knn_accuracy", near, far).outcome == "better"
    assert change_of("knn_accuracy", near, low).outcome == "worse"
    assert change_of("harmful_rate", near, low).outcome == "better"
    assert change_of("harmful_rate", near, far).outcome == "worse"
    assert change_of("kl_to_base", near, far).outcome == "moved"
    assert change_of("knn_accuracy", near, row(0.09)["knn_accuracy"]).outcome == "unclear"
    assert change_of("knn_accuracy", near, far).difference == pytest.approx(0.2)


def test_a_change_is_clear_where_seeds_say_so_too() -> None:
    """Both on one side of 0; where no band is known, texts alone decide, and it is said."""
    before, after = row()["knn_accuracy"], row(0.02)["knn_accuracy"]
    moved = {"value": 0.02, "low": 0.01, "high": 0.03}
    verdicts = {(0.001, 0.1): "better", (0.0, 0.1): "unclear", (-0.1, 0.2): "unclear",
                (-0.2, -0.1): "unclear"}  # fmt: skip
    for (low, high), outcome in verdicts.items():
        found = change_of("knn_accuracy", before, after, {**moved, **seeds(low, high)})
        assert (found.outcome, found.texts_only) == (outcome, False)
    unsure = {**moved, "low": -0.01, **seeds(0.01, 0.02)}
    assert change_of("knn_accuracy", before, after, unsure).outcome == "unclear"
    assert change_of("knn_accuracy", before, after, moved).texts_only


def test_unpaired_a_change_is_clear_where_bands_are_apart_too() -> None:
    near, far = row()["knn_accuracy"], row(0.2)["knn_accuracy"]
    apart = change_of("knn_accuracy", near | seeds(0.4, 0.6), far | seeds(0.61, 0.9))
    meet = change_of("knn_accuracy", near | seeds(0.4, 0.6), far | seeds(0.5, 0.9))
    assert (apart.outcome, meet.outcome) == ("better", "unclear")
    rows = {"tuned": {"knn_accuracy": far | seeds(0.6, 0.8)}}
    for then, outcome in ((0.59, "better"), (0.61, "unclear")):
        (found,) = changes_from_baseline(rows, {"tuned": {"knn_accuracy": then}})
        assert found.change.outcome == outcome, "a committed value has no band"


def seeds(low: float, high: float) -> dict[str, float]:
    return {"seeds_low": low, "seeds_high": high}


def test_bands_stand_beside_intervals_or_texts_only_is_said(run: ReportContents) -> None:
    """Without a band the page says so once; with one, wherever a number has none."""
    page = render_report(run)
    assert "Texts only: no band over seeds is of these params" in page
    assert page.lower().count("texts only") == 1
    known = SeedValues("abc", [0, 1, 2, 3, 4], {"f": {}})
    banded = {name: marks | seeds(0.11, 0.99) for name, marks in run.rows["tuned"].items()}
    own = {heading: marks | seeds(-0.11, 0.99) for heading, marks in run.selfie["tuned"].items()}
    page = render_report(replace(run, seeds=known, rows={**run.rows, "tuned": banded},
                                 selfie={**run.selfie, "tuned": own}))  # fmt: skip
    assert "from 5 seeds of commit abc" in page
    table = page.split('id="numbers"')[1].split("</section>")[0]
    assert table.count("seeds [0.110, 0.990]") == len(MEANINGS)
    assert table.count("<small>texts only</small>") > len(MEANINGS)
    words = page.split('id="words"')[1].split("</section>")[0]
    assert words.count("seeds [\N{MINUS SIGN}0.110, 0.990]") == len(own)
    assert page.split("Can the model name")[2].count("seeds [\N{MINUS SIGN}0.110, 0.990]") > 1


def test_a_lead_that_some_seeds_lose_is_not_clear() -> None:
    beside, ahead = Beside(row(), row(), {}), lead(0.3)
    for low, reply in ((0.01, "Yes"), (-0.01, "Not clearly")):
        over = replace(ahead, after={**ahead.after, **seeds(low, 0.5)})
        assert answers(beside, over, {})[4].reply == reply


BETTER = "Better on test, novel, shifted texts"


def replies(tuned: float, shuffled: float) -> list[str]:
    """Of a variant and its control, each so far from the untouched model."""
    own, other = (Beside(row(), row(shift), paired(shift)) for shift in (tuned, shuffled))
    found: list[Answer] = answers(own, lead(0.0), {"shuffled": other})
    return [answer.reply for answer in found]


def test_answers_follow_paired_differences() -> None:
    """The rows' intervals overlap throughout: what decides is how far both went together."""
    same, near = row(), row(0.05)
    still, rose = Beside(same, same, paired(0.0)), Beside(same, near, paired(0.05))
    unsure = Beside(same, near, paired(0.05, reach=0.07))
    lost = Beside(same, row(-0.05), paired(-0.05))

    def replies_of(tuned: Beside, shuffled: Beside) -> list[str]:
        return [answer.reply for answer in answers(tuned, lead(0.0), {"shuffled": shuffled})]

    assert replies_of(rose, still) == [
        "Concepts lie further apart", BETTER, "3 of 5 clearly worse",
        "Yes: shuffled labels give less", "Not clearly", "Yes",
    ]  # fmt: skip
    assert replies_of(still, rose)[3] == "No: shuffled labels help a probe as well"
    assert replies_of(unsure, unsure)[2:4] == [
        "None that is clear", "No gain is clear",
    ]  # fmt: skip
    assert replies_of(rose, rose)[3] == "No: shuffled labels help a probe as well"
    assert replies_of(lost, still) == [
        "Concepts lie closer together", "Worse on test, novel, shifted texts",
        "2 of 5 clearly worse", "No gain is clear", "Not clearly", "No, less",
    ]  # fmt: skip
    _, read, _, _, named, _ = answers(rose, lead(0.0), {})
    assert read.shown[0].paired == paired(0.05)["best_probe"]
    assert read.folded[0].before is named.folded[2].paired is None


def test_answers_say_what_the_intervals_show() -> None:
    assert replies(0.2, 0.0) == [
        "Concepts lie further apart", BETTER, "3 of 5 clearly worse",
        "Yes: shuffled labels give less", "Not clearly", "Yes",
    ]  # fmt: skip
    assert replies(0.0, 0.2) == [
        "Nothing that is clear", "Not clearly", "None that is clear",
        "No: shuffled labels help a probe as well", "Not clearly", "Not clearly",
    ]  # fmt: skip
    assert replies(-0.2, 0.0)[1] == "Worse on test, novel, shifted texts"
    behaviour = ("harmful_rate", "over_refusal_rate", "refusal_gap")
    without = row(best_probe_novel=None, **dict.fromkeys(behaviour))
    _, read, cost, real, *_ = answers(Beside(without, without, {}), lead(0.0), {})
    assert len([*read.shown, *read.folded]) == 8, "all but one split's best probe"
    assert len([*cost.shown, *cost.folded]) == 3
    assert (real.reply, real.shown) == ("Not known: no variant has shuffled labels", [])


PROBES = "best probe; best probe, novel; best probe, shifted"


def test_a_gain_is_real_where_all_of_the_control_lies_below_it() -> None:
    """Of texts and of seeds; some gains may be real where others are not."""
    gained = Beside(row(), row(0.2), paired(0.2))
    verdicts = {
        (0.17, 0.0, 0.0): "Yes: shuffled labels give less",
        (0.18, 0.0, 0.0): f"Yes for {PROBES}; not for the rest",
        (0.0, 0.18, 0.0): "Yes for silhouette; best probe, shifted; not for the rest",
        (0.18, 0.18, 0.0): "Yes for best probe, shifted; not for the rest",
        (0.0, 0.0, 0.2): f"Yes for {PROBES}; not for the rest",
    }
    for (apart, read, reach_of_seeds), reply in verdicts.items():
        differences = paired(0.0) | {"silhouette": dict(paired(apart)["silhouette"])}
        if reach_of_seeds:
            differences["silhouette"] |= seeds(-reach_of_seeds, reach_of_seeds)
        unsure = paired(read, reach=read + 0.01)  # not clear: it would be no control otherwise
        differences |= {name: unsure[name] for name in ("best_probe", "best_probe_novel")}
        control = Beside(row(), row(), differences)
        found = answers(gained, lead(0.0), {"shuffled": control})[3]
        assert found.reply == reply, (apart, read, reach_of_seeds)
        assert [line.label for line in found.shown] == [
            f"{label}, shuffled" for label in ("silhouette", "best probe", "best probe, novel")
        ]


def test_the_model_names_its_states_where_it_leads_text_by_text(run: ReportContents) -> None:
    """However the intervals of both shares lie: texts that both name leave the lead as it is."""
    overlapping = Beside(row(), row(0.05), paired(0.05))
    apart = Beside(row(), row() | {"selfie_control_accuracy": row(-0.3)["perplexity"]}, {})
    for beside in (overlapping, apart):
        found = {value: answers(beside, lead(value), {})[4] for value in (0.06, 0.05, -0.2)}
        assert [answer.reply for answer in found.values()] == ["Yes", "Not clearly", "Not clearly"]
        assert found[0.06].shown[0].after == lead(0.06).after, "it stands beside its answer"
    for value, reply in ((0.3, "Yes"), (0.01, "Not clearly")):
        own = {report.LEAD: lead(value).after, report.LEAD_CHANGE: lead(-0.123).after}
        page = render_report(replace(run, selfie={**run.selfie, "tuned": own}))
        _, answer, behind = page.split("Can the model name")
        assert answer.split('class="reply">')[1].startswith(reply)
        assert f"<b>+{value:.3f}</b> <small>" in answer.split("</div>")[1]
        assert page.count(f"+{value:.3f} <small>") == 1, "and in the table of leads"
        assert f"0.500 → <b>{value:.3f}</b>" in behind.split("</ul>")[0]


def test_a_divergence_from_base_is_a_size(run: ReportContents) -> None:
    """Its interval excludes 0 for any finetune: it is shown, and judged in no count and no arrow;
    since the baseline it may well have risen."""
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    divergences = ("kl_to_base", "kl_of_openings")
    base = row() | dict.fromkeys(divergences, nothing)
    beside = Beside(base, row(), paired(0.0) | dict.fromkeys(divergences, row()["perplexity"]))
    cost = answers(beside, lead(0.1), {})[2]
    assert cost.reply == "None that is clear"
    *lines, size = *cost.shown, *cost.folded
    assert (size.label, size.before, size.paired) == ("KL of first words", None, None)
    assert size.after == row()["kl_of_openings"]
    assert all(line.before and line.paired for line in lines)
    table = render_report(run).split('id="numbers"')[1].split("</section>")[0]
    for number in divergences:
        cells = table.split(f'href="#means-{number}"')[1].split("</tr>")[0]
        assert "0.700" in cells
        assert "clear" not in cells
    assert "clearly worse" in table.split('href="#means-perplexity"')[1].split("</tr>")[0]
    (moved,) = changes_from_baseline({"tuned": row()}, {"tuned": {"kl_of_openings": 0.4}})
    assert moved.change.outcome == "worse"


def test_a_change_from_the_baseline_is_what_the_baseline_does_not_say(run: ReportContents) -> None:
    first, second = changes_from_baseline(run.rows, run.baseline)
    assert (first.variant, first.change.outcome) == ("base", "worse"), "outside of the interval"
    assert (second.variant, second.change.outcome) == ("tuned", "unclear")
    assert (
        changes_from_baseline(
            {"base": row()}, {"base": {"perplexity": 0.5000001}, "gone": {"x": 1}}
        )
        == []
    )


def test_the_page_lists_what_changed_beyond_the_band_alone(run: ReportContents) -> None:
    """And says how many other numbers differ."""
    listed = render_report(run).split('id="baseline"')[1].split("</section>")[0]
    assert "<code>baseline.json</code>: 2. Outside of this run's interval: 1." in listed
    assert listed.count("<tr>") == 2, "a header and one row"
    assert "0.710" not in listed
    within = {"tuned": {"perplexity": 0.71}}
    listed = render_report(replace(run, baseline=within)).split('id="baseline"')[1]
    assert "<code>baseline.json</code>: 1. Outside of this run's interval: none." in listed
    assert "<table" not in listed.split("</section>")[0]


def test_every_headline_number_has_a_meaning_and_every_picture_a_caption() -> None:
    summary = report.flattened({"base": row()})
    assert len(summary) == 3 * len(MEANINGS)
    committed = (ROOT / "baseline.json").read_text(encoding="utf-8")
    assert set(re.findall(r'"(\w+)": [-\d]', committed)) <= MEANINGS.keys()
    captions = tuple(name for section in EVIDENCE.values() for name in section)
    assert all(path.stem.startswith(captions) for path in (ROOT / "figures").rglob("*.svg"))


def test_the_headline_monitor_stands_on_every_set(run: ReportContents) -> None:
    page = render_report(run)
    table = page.split('aria-label="The headline monitor on every set of texts"')[1]
    shown = table.split("</table>")[0]
    assert shown.count("<tr>") == 1 + len(matrix.SETS) * 2 + 1 + len(matrix.REQUESTS)
    assert "0.875</span> <small>[0.750, 1.000]</small> <small>+0.375 [+0.250, +0.500]" in shown
    assert "words alone" in shown
    assert "The headline monitor on every set" not in render_report(replace(run, matrix=[]))


def test_a_picture_that_no_section_shows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "light").mkdir()
    (tmp_path / "light" / "new.svg").write_text("", encoding="utf-8")
    with pytest.raises(KeyError, match="no section of the report shows new"):
        evidence(tmp_path)


def test_leads_are_shown_of_what_was_measured(run: ReportContents) -> None:
    asking = load_params(ROOT / "params.yaml").asking
    lead, judged, moved = ({"value": v, "low": v, "high": v} for v in (0.3, 0.1, -0.2))

    def tree(estimate: dict[str, float]) -> dict[str, object]:
        return {f"layer_{asking.layer}": {"test": {asking.positions[0]: {"lead": estimate}}}}

    assert report.faithfulness(tree(lead), asking) == {"lead over the best control": lead}
    whole = tree(lead) | {"difference": tree(moved), "judged": tree(judged)}
    assert report.faithfulness(whole, asking) == {
        "lead over the best control": lead, "change from base": moved,
        "lead by the judge model": judged,
    }  # fmt: skip
    page = render_report(run)
    assert "+0.500 <small>[0.450, 0.550]" in page
    assert "\N{MINUS SIGN}0.300 <small>[\N{MINUS SIGN}0.350" in page
    assert "Trust it no further" in page
    assert "Trust it no further" not in render_report(replace(run, judge={}))


def test_a_judge_that_agrees_by_chance_is_not_heard(run: ReportContents) -> None:
    """Its columns stand on the page only where agreement's interval lies above 1 in 3 concepts."""
    marks = row()["perplexity"]
    own = dict.fromkeys((report.LEAD, report.LEAD_CHANGE, *report.JUDGE_HEADINGS), marks)
    judged = replace(run, selfie=dict.fromkeys(run.selfie, own))

    def page(low: float) -> str:
        return render_report(
            replace(judged, judge={**run.judge, "agreement": marks | {"low": low}})
        )

    without = render_report(
        replace(judged, judge={k: run.judge[k] for k in ("words", "words_shuffled")})
    )
    assert all(f">{heading}</th>" in page(0.34) for heading in report.JUDGE_HEADINGS)
    assert "its leads are left out" not in page(0.34)
    for unheard in (page(0.33), without):
        assert not any(f">{heading}</th>" in unheard for heading in report.JUDGE_HEADINGS)
        assert f">{report.LEAD}</th>" in unheard
        assert "chance, 1 in 3, is not shown: its leads are left out" in unheard
        assert "Trust it no further" not in unheard


def test_every_param_is_shown() -> None:
    params = load_params(ROOT / "params.yaml")
    shown = dict(report.flattened({"finetune": params.finetune, "variants": params.variants}))
    assert shown["finetune.penalty_texts"] == "retain, pairs, interpretations"
    assert shown["variants.supcon.contrast"] == "supcon"


def test_pins_are_those_of_the_constraints(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("numpy==2.4.6\nPOT==0.9.7.post1\n", encoding="utf-8")
    assert read_pins(tmp_path / "c.txt", ("pot", "numpy")) == {
        "pot": "0.9.7.post1",
        "numpy": "2.4.6",
    }


def test_the_same_run_is_the_same_page_and_every_word_is_escaped(run: ReportContents) -> None:
    page = render_report(run)
    assert page == render_report(run)
    assert "<script" not in page
    assert "<img src=https" not in page
    assert not re.search(r'(src|href|srcset)="(?!data:|#)', page), "the page fetches nothing"
    assert page.count("<th>") == 0, "every header says whose it is"


def test_a_run_with_little_to_show(run: ReportContents, tmp_path: Path) -> None:
    """One variant, no behaviour, no control, no picture."""
    (tmp_path / "light").mkdir()
    small = replace(
        run, rows={"base": row(harmful_rate=None)}, differences={"base": {}}, baseline={},
        compared=["base"], controls=[], words={"base": run.words["base"]}, figures=tmp_path,
    )  # fmt: skip
    page = render_report(small)
    assert "No finetuned variant is compared" in page
    assert "No number differs" in page
    assert "harmful answers" not in page
    assert "<figure" not in page


# A browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium is installed, and none is fetched; CHROMIUM may name one")
    with sync_playwright() as playwright:
        rooted = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=rooted)
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(run: ReportContents, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    report.write_report(path, render_report(run))
    return path.as_uri()


LOOKS = [(width, scheme) for width in (1280, 400) for scheme in ("light", "dark")]


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The page as it opens, with what it complained of and asked for in `noted`."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    noted: list[str] = []
    opened.on("console", lambda message: noted.append(message.text))
    opened.on("pageerror", lambda error: noted.append(str(error)))
    opened.on("request", lambda request: noted.append(request.url))
    opened.goto(address)
    asked = [line for line in noted if not line.startswith("data:")]
    assert asked == [address], "neither a complaint nor a request"
    yield opened
    context.close()


def test_it_opens_in_silence_fits_and_can_be_read_by_everyone(page: Page) -> None:
    assert page.locator("details[open]").count() == 0, "tables are folded"
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    wide = page.evaluate(
        """[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .heard')
           && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)"""
    )
    assert wide == []
    pictures = page.locator("figure img:visible")
    assert pictures.count() == sum(map(len, EVIDENCE.values()))
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        assert re.search(r"\d", picture.get_attribute("alt") or "")
        assert picture.evaluate("e => e.complete && e.naturalWidth > 0")
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1, landmark  # type: ignore[arg-type]
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    unnamed = "[...document.querySelectorAll('th')].filter(e => !e.scope).length"
    assert page.evaluate(unnamed) == 0
    broken = """[...document.querySelectorAll('a[href^="#"]')]
        .filter(a => !document.getElementById(a.hash.slice(1))).length"""
    assert page.evaluate(broken) == 0
    twins = "[...document.querySelectorAll('[id]')].map(e => e.id)"
    assert len(page.evaluate(twins)) == len(set(page.evaluate(twins)))


@pytest.mark.parametrize("size", [(390, 844), (1280, 800)], ids=["phone", "laptop"])
def test_the_first_screen_answers(browser: Browser, address: str, size: tuple[int, int]) -> None:
    """What changed, by how much, at what cost and whether it is real stand above the fold."""
    opened = browser.new_page(viewport={"width": size[0], "height": size[1]})
    opened.goto(address)
    found = opened.locator(".first > div")
    assert found.count() == ON_FIRST_SCREEN
    for answer in found.all():
        box = answer.bounding_box()
        assert box
        assert box["y"] + box["height"] <= size[1], answer.inner_text()
    opened.close()


TEXTS = """() => {
  const hex = colour => '#' + colour.match(/\\d+/g).slice(0, 3)
      .map(part => (+part).toString(16).padStart(2, '0')).join('');
  const clear = element => /rgba\\(.*, 0\\)/.test(getComputedStyle(element).backgroundColor);
  const found = new Set();
  for (const element of document.querySelectorAll('body *')) {
    if (![...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    let ground = element;
    while (clear(ground)) ground = ground.parentElement;
    const colours = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
    found.add(colours.map(hex).join());
  }
  return [...found];
}"""


def test_every_text_stands_out_from_its_ground(page: Page) -> None:
    pairs = [pair.split(",") for pair in page.evaluate(TEXTS)]
    assert len(pairs) >= 4
    for text, ground in pairs:
        assert contrast_ratio(text, ground) >= 4.5, (text, ground)


def test_a_keyboard_reaches_everything_that_scrolls(page: Page) -> None:
    page.keyboard.press("Tab")
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) == "To the answer"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    deaf = """[...document.querySelectorAll('.scroll')]
        .filter(e => e.tabIndex !== 0 || !e.getAttribute('aria-label')).length"""
    assert page.evaluate(deaf) == 0


def test_pictures_follow_the_theme(page: Page) -> None:
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    shown, hidden = ("dark", "light") if dark else ("light", "dark")
    assert all(picture.is_visible() for picture in page.locator(f"img.{shown}").all())
    assert page.locator(f"img.{hidden}:visible").count() == 0


def test_on_paper_it_is_light_and_whole(browser: Browser, address: str) -> None:
    context = browser.new_context(color_scheme="dark", viewport={"width": 700, "height": 900})
    opened = context.new_page()
    opened.goto(address)
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.locator("nav").is_hidden()
    assert opened.locator("table.numbers").is_visible(), "nothing stays folded"
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(253, 253, 252)"
    assert opened.locator("img.light").first.is_visible()
    assert opened.locator("img.dark:visible").count() == 0
    assert opened.pdf().startswith(b"%PDF")
    context.close()


def test_figures_know_their_metrics() -> None:
    of_ability = {"wrong"}  # 1 - accuracy, of metrics/capability
    assert set(figures.TRADED_HARMS) - of_ability <= MEANINGS.keys()
    assert set(figures.ACCURACIES) <= MEANINGS.keys()
