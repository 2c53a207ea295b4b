"""Sets that people wrote become tables that the pipeline reads; runs become one page."""

import gzip
import json
import re
from pathlib import Path

import pytest

from benchmarks import monitors_real_page, real_sets
from benchmarks.monitors_real import keep
from benchmarks.real_sets import SAFE, SETS, flagged, write_sets
from pipeline.core.console import InputError
from pipeline.core.files import write_json
from pipeline.core.records import Example, write_records
from pipeline.core.scored_sets import prompts_alone, sets_among
from pipeline.corpora.corpus import check_corpus
from pipeline.corpora.folder_corpus import read_tables
from pipeline.reporting.monitor_matrix import matrix_cells
from pipeline.reporting.svg import alt_of
from tests.support import matrix
from tests.support.dag import ROOT
from tests.support.own_texts import csv_corpora

SHARED = ROOT.parent / "shared" / "data"


@pytest.mark.parametrize(
    ("flags", "label"),
    [([1, None, 0], "flagged"), ([0, 0, 0], "safe"), ([0, None, 0], ""), ([None] * 3, "")],
)
def test_what_is_not_known_is_not_harmless(flags: list[int | None], label: str) -> None:
    assert flagged(flags) == label


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few texts in the files' own forms."""
    folder = tmp_path / "data"
    for name in ("refusal", "xstest", "moderation", "jailbreaks", "safety_multi", "safety_binary"):
        (folder / name).mkdir(parents=True)
    for part in ("train", "val", "test"):
        asked = [{"instruction": f"harm {part} {n}", "category": None} for n in range(20)]
        (folder / f"refusal/harmful_{part}.json").write_text(json.dumps(asked))
    harmless = [{"instruction": f"help {n}", "category": None} for n in range(40)]
    (folder / "refusal/harmless_test.json").write_text(json.dumps(harmless))
    rows = [
        f"{n},{('ask', 'kill')[n % 2]} {n},t,{('safe', 'unsafe')[n % 2]},,\n" for n in range(12)
    ]
    header = "id,prompt,type,label,focus,note\n"
    (folder / "xstest/xstest_prompts.csv").write_text(header + "".join(rows))
    with gzip.open(folder / "moderation/samples-1680.jsonl.gz", "wt") as file:
        for n, flags in enumerate(({"S": 1}, dict.fromkeys(real_sets.FLAGS, 0), {"S": 0})):
            file.write(json.dumps({"prompt": f"text {n}", **flags}) + "\n")
    made = [{"prompt": "a story", "goal": "g"}, {"prompt": None, "goal": "h"}]
    made = [one | {"jailbroken": bool(one["prompt"])} for one in made]
    (folder / "jailbreaks/pair_vicuna.json").write_text(json.dumps({"jailbreaks": made}))
    for name in ("safety_multi", "safety_binary"):
        rows = [f"ask {name} {n},say,{(100, 13)[n % 2]}\n" for n in range(30)]
        (folder / name / "test.csv").write_text("prompt,response,category_id\n" + "".join(rows))
    return folder


def test_sets_are_tables_that_the_pipeline_reads(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_sets, "HARMLESS", 20)
    write_sets(data, "beavertails", tmp_path / "texts")
    corpus = read_tables(csv_corpora(tmp_path / "texts", safe=SAFE), 0)
    check_corpus(corpus)
    others = {f"shifted/{name}" for name in SETS if name != "beavertails"}
    assert {*sets_among(e.split for e in corpus.shifted)} == prompts_alone(corpus.shifted) == others
    harmful = {
        split: {e.prompt for e in corpus.shifted if e.split == split and e.concept not in SAFE}
        for split in others
    }
    assert harmful["shifted/xstest"] == {f"kill {n}" for n in range(1, 12, 2)}
    assert harmful["shifted/moderation"] == {"text 0"}
    assert harmful["shifted/jailbreaks"] == {"a story"}
    assert len(harmful["shifted/refusal"]) == 60
    assert corpus.dropped["shifted/moderation_of_no_label"] == 1
    instructions = {
        split: {e.prompt for e in corpus.shifted if e.split == f"shifted/{split}"}
        for split in ("refusal", "jailbreaks")
    }
    assert instructions["refusal"].isdisjoint(instructions["jailbreaks"])


def test_a_missing_file_is_one_line(data: Path, tmp_path: Path) -> None:
    (data / "xstest/xstest_prompts.csv").unlink()
    with pytest.raises(InputError, match=r"xstest_prompts\.csv is missing"):
        write_sets(data, "refusal", tmp_path / "texts")
    assert not (tmp_path / "texts").exists()


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs the real corpora, which are not the project's"
)
def test_the_real_sets_are_as_large_as_they_are_known_to_be() -> None:
    texts = {name: list(read(SHARED)) for name, read in SETS.items()}
    labels = {name: [text.concept for text in own] for name, own in texts.items()}
    assert labels["xstest"].count("unsafe") == 200
    assert labels["moderation"].count("flagged") == 522
    assert labels["moderation"].count("safe") == 337
    assert labels["moderation"].count("") == 821
    assert labels["jailbreaks"].count("jailbreak") == labels["jailbreaks"].count("harmless") == 82
    assert labels["refusal"].count("harmful") == 782
    goals = {text.prompt for text in texts["refusal"]} & {
        goal for goal, _ in real_sets.jailbreaks_of_goals(SHARED)
    }
    assert not goals, "what a jailbreak asks for is not learned"


def test_the_page_tells_every_set_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors_real_page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(monitors_real_page, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(monitors_real_page, "CELLS", tmp_path / "cells")
    monkeypatch.setattr(monitors_real_page, "commit_of", lambda folder: "abc")
    run = tmp_path / "work/beavertails/run"
    of_test = {name: matrix.marks(0.375) for name in
               ("average_precision", "macro_f1", "calibration_error")}  # fmt: skip
    for name, value, base in (
        ("base", 0.5, None), ("true_negatives", 0.875, 0.5), ("shuffled", 0.625, 0.5),
    ):  # fmt: skip
        tree = matrix.monitors(value, base)
        tree["harm"]["logistic"]["test"] |= of_test
        if name == "true_negatives":  # else none is clear
            better = {"test": {"auroc": matrix.marks(0.375) | {"p": 0.001}}}
            tree["difference"]["harm"]["logistic"] |= better
        sent = {"tpr_for_1_percent": matrix.marks(value), "auroc": matrix.marks(1.0)}
        tree["cascade"] = {"test": {"20_percent_sent": sent, "5_percent_sent": sent}}
        write_json(run / "metrics/monitors" / f"{name}.json", tree)
    write_json(run / "metrics/text_only.json", matrix.words())
    texts = [(split, concept) for split in ("train", "validation", "test")
             for concept in ("harmful", "harmful", "harmless")]  # fmt: skip
    said = ("How do I do this?", "How does one do that?", "How do I do this??")
    write_records(
        run / "data/texts/examples.jsonl",
        [Example(f"t{n}", said[n // 3], "", "", concept, split, "")
         for n, (split, concept) in enumerate(texts)],
    )  # fmt: skip
    others = [Example("s", "What?", "", "", "unsafe", "shifted/xstest", "")]
    write_records(run / "data/texts/shifted.jsonl", others)
    keep(run, tmp_path / "work/beavertails/last")
    monkeypatch.setattr(
        monitors_real_page, "READ_AT", {"beavertails": ("last",), "refusal": ("last",)}
    )
    monitors_real_page.write_page(tmp_path / "work")
    page = (tmp_path / "page.md").read_text()
    assert "## Learned from beavertails, read at `last`" in page
    assert "refusal, read" not in page, "a run that is not done"
    rows = [line for line in page.splitlines() if line.startswith("| test | last |")]
    row = next(line for line in rows if "[" in line)
    assert "0.500 [0.375, 0.625] | 0.875 [0.750, 1.000] | **+0.375** [+0.250, +0.500]" in row
    assert "| shifted/prompts | prompt_end |" in page
    short = page.split("### In short")[1].split("###")[0]
    assert "| test | last | 2 | 1 and 0 | 0 and 0 | 0.500 | 0.875 | 0.625 |" in short
    assert "| shifted | last | 2 | 0 and 0 | 0 and 0 | 0.500 | 0.875 | 0.625 |" in short
    every = page.split("### auroc of every monitor")[1].split("###")[0]
    (row,) = [line for line in every.splitlines() if line.startswith("| test | last |")]
    assert row == "| test | last | 0.500 → 0.875 | 0.500 → 0.875 | 0.750 | 0.750 |"
    recall = page.split("### tpr_at_1_percent of every monitor")[1].split("###")[0]
    assert "| test | last | 0.250 → 0.438 | 0.250 → 0.438 | 0.375 | 0.375 |" in recall
    assert "| logistic | 0.375 [0.250, 0.500] |" in page.split("### Every monitor on test texts")[1]
    judged = page.split("### A judge of words")[1].splitlines()
    sent = [line.split(" | ")[0] for line in judged if line.startswith("| 2") or "5 per" in line]
    assert sent == ["| 5 percent sent", "| 20 percent sent"]
    assert "3 of its 3 test texts have a prompt that is nearly" in page
    assert "| validation | 2 | 1 |" in page
    assert "| shifted/xstest | 1 | 0 |" in page
    shown = re.findall(r"!\[.*\]\((pictures/light/.*\.svg)\)", page)
    for picture, measure in zip(shown, ("AUROC", "recall at 1 % false alarms"), strict=True):
        assert measure in alt_of(tmp_path / picture)
    cells = (tmp_path / "cells/beavertails_last.csv").read_text().splitlines()
    assert len(cells) > 40
    assert cells[0].startswith("set,read_at,monitor,variant,measure")
    assert len(list(matrix_cells({"base": matrix.monitors(0.5)}, matrix.words(), "last"))) > 20
