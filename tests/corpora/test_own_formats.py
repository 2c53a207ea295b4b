"""Every format of a user's tables gives the same corpus; several labels are kept as a set."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from pipeline.core.console import InputError
from pipeline.core.sections import Pairs
from pipeline.corpora.columns import Wanted
from pipeline.corpora.corpus import Corpus, check_corpus
from pipeline.corpora.folder_corpus import read_tables, tables_of
from pipeline.corpora.pairs import LABELLINGS, SAMPLINGS, draw_pairs
from pipeline.corpora.tables import read_table, title_of
from tests.support.dag import ROOT
from tests.support.own_texts import csv_corpora

DATA = ROOT.parent / "shared" / "data"
COLUMNS = ("prompt", "response", "concept")
TORN = gzip.compress(b"prompt,response,concept\na,b,c\n" * 99, mtime=0)[:60]
ROWS = [
    {"prompt": f"ask é {n}", "response": f'say "{n}"\n', "concept": ("safe", "harm")[n % 2]}
    for n in range(60)
]


def saved(rows: list[dict[str, Any]], folder: Path, features: Any = None) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(folder))


def lines_of(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def feather(rows: list[dict[str, Any]], path: Path) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table, 7)


WRITERS: dict[str, Callable[[Path], object]] = {
    "csv": lambda f: pd.DataFrame(ROWS).to_csv(f / "t.csv", index=False),
    "csv.gz": lambda f: pd.DataFrame(ROWS).to_csv(f / "t.csv.gz", index=False),
    "tsv": lambda f: pd.DataFrame(ROWS).to_csv(f / "t.tsv", index=False, sep="\t"),
    "jsonl": lambda f: (f / "t.jsonl").write_text(lines_of(ROWS)),
    "jsonl.gz": lambda f: (f / "t.jsonl.gz").write_bytes(gzip.compress(lines_of(ROWS).encode())),
    "json": lambda f: (f / "t.json").write_text(json.dumps(ROWS, indent=2)),
    "lines called json": lambda f: (f / "t.json").write_text(lines_of(ROWS)),
    "parquet": lambda f: pd.DataFrame(ROWS).to_parquet(f / "t.parquet"),
    "arrow file": lambda f: feather(ROWS, f / "t.arrow"),
    "saved dataset": lambda f: saved(ROWS, f / "t"),
    "the saved dataset itself": lambda f: saved(ROWS, f),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_format_is_the_same_rows(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path)
    (table,) = tables_of(tmp_path)
    assert [cells for _, cells in read_table(table, Wanted(COLUMNS))] == ROWS
    corpus = read_tables(csv_corpora(tmp_path, safe=("safe",)), 0)
    assert [e.prompt for e in corpus.examples] == [row["prompt"] for row in ROWS]
    assert [*corpus.sources] == [table.relative_to(tmp_path).as_posix()]


def test_a_saved_class_is_its_name_and_an_unnamed_one_is_missing(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    named = datasets.ClassLabel(names=["safe", "harm"])
    features = datasets.Features(
        {"prompt": datasets.Value("string"), "one": named, "many": datasets.List(named)}
    )
    rows = [{"prompt": "a", "one": 1, "many": [0, 1]}, {"prompt": "b", "one": -1, "many": []}]
    saved(rows, tmp_path / "mine", features)
    (table,) = tables_of(tmp_path)
    found = [cells for _, cells in read_table(table, Wanted(("prompt", "one", "many")))]
    assert found == [
        {"prompt": "a", "one": "harm", "many": ["safe", "harm"]},
        {"prompt": "b", "one": None, "many": []},
    ]
    assert title_of(table) == "mine"


def test_every_split_of_a_saved_dict_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {"train": ROWS[:40], "test": ROWS[40:]}
    datasets.DatasetDict(
        {name: datasets.Dataset.from_list(rows) for name, rows in parts.items()}
    ).save_to_disk(str(tmp_path))
    assert {title_of(path) for path in tables_of(tmp_path)} == {"train", "test"}
    assert len(read_tables(csv_corpora(tmp_path), 0).examples) == 60


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"PAR1", "t.parquet cannot be read .*; write it again"),
        ("t.arrow", b"", "t.arrow cannot be read .*; write it again"),
        ("t.csv.gz", b"prompt", "t.csv.gz is no whole gzip file; compress it again"),
        ("t.csv.gz", TORN, "no whole gzip"),
        ("t.json", b"[{]", "t.json is not JSON: .* at column 3"),
        ("t.json", b"[]", "t.json is empty; remove it or fill it"),
    ],
)
def test_a_broken_table_is_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_tables(csv_corpora(tmp_path), 0)


def test_a_column_that_parquet_lacks_is_one_line(tmp_path: Path) -> None:
    pd.DataFrame([{"text": "a", "concept": "b"}]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet has no column 'prompt' \(it has text, con"):
        read_tables(csv_corpora(tmp_path), 0)


def flags(rows: int = 240) -> list[dict[str, Any]]:
    """Texts of a, of b, of both, and of neither, in turn."""
    return [
        {"text": f"ask {n}", "a": int(n % 4 in (0, 2)), "b": int(n % 4 in (1, 2))}
        for n in range(rows)
    ]


def flagged_corpus(folder: Path, rows: list[dict[str, Any]], **knobs: Any) -> Corpus:
    (folder / "t.jsonl").write_text(lines_of(rows))
    knobs = {
        "texts": ("text",),
        "label": ("a", "b"),
        "unlabelled": "none",
        "safe": ("none",),
    } | knobs
    return read_tables(csv_corpora(folder, **knobs), 0)


def test_a_text_of_several_labels_keeps_them_and_is_scored_by_nothing(tmp_path: Path) -> None:
    corpus = flagged_corpus(tmp_path, flags())
    check_corpus(corpus)
    assert {e.concept for e in corpus.examples} == {"a", "b", "none"}
    assert not any(e.also for e in corpus.labelled)
    assert {(e.concepts, e.split) for e in corpus.several} == {(("a", "b"), "train")}
    held_out = corpus.dropped["of_several_concepts_and_held_out"]
    assert len(corpus.several) + held_out == 60
    assert held_out > 0
    assert {e.prompt for e in corpus.several} <= {d.prompt for d in corpus.documents}


def test_a_list_of_labels_is_the_same_set_in_any_order(tmp_path: Path) -> None:
    rows = [
        {
            "text": row["text"],
            "labels": [name for name in "ab" if row[name]][:: 1 - 2 * (n % 3 == 0)],
        }
        for n, row in enumerate(flags())
    ]
    listed = flagged_corpus(tmp_path, rows, label="labels")
    assert listed.several == flagged_corpus(tmp_path, flags()).several


def test_what_is_not_known_or_has_no_label_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*flags(), {"text": "unknown", "a": 0}, {"text": "known", "a": 1}]
    corpus = flagged_corpus(tmp_path, rows, unlabelled="", safe=())
    assert corpus.dropped["labels_not_known"] == 1
    assert corpus.dropped["of_no_label"] == 60
    texts = {e.prompt for e in corpus.examples}
    assert ("unknown" in texts, "known" in texts) == (False, True)


def test_a_column_that_no_line_has_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t.jsonl has no column 'c' \(it has text, a, b\)"):
        flagged_corpus(tmp_path, flags(), label=("a", "c"))


def test_labels_get_other_names_and_several_one(tmp_path: Path) -> None:
    corpus = flagged_corpus(tmp_path, flags(), names={"A": "hate", "b": "hate"})
    assert {e.concept for e in corpus.examples} == {"hate", "none"}
    assert corpus.several == ()
    with pytest.raises(InputError, match=r"corpora.csv.names names 'x', which no row is labelled"):
        flagged_corpus(tmp_path, flags(), names={"x": "hate"})


def test_the_name_of_a_table_may_be_its_label(tmp_path: Path) -> None:
    for name in ("good.json", "bad.json.gz"):
        text = json.dumps([{"q": f"{name} {n}"} for n in range(30)]).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    corpus = read_tables(csv_corpora(tmp_path, texts=("q",), label="", safe=("good",)), 0)
    assert {(e.concept, e.source) for e in corpus.examples} == {("good", "good"), ("bad", "bad")}
    assert {e.response for e in corpus.examples} == {""}


@pytest.mark.parametrize("labelling", LABELLINGS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_pairs_share_a_concept_and_know_their_others(
    tmp_path: Path, labelling: str, sampling: str
) -> None:
    corpus = flagged_corpus(tmp_path, flags())
    texts = [*corpus.examples, *corpus.several]
    own = {e.id: e.concepts for e in texts}
    params = Pairs(count=300, whole=0.75, prompt_only=0.125, response_only=0.125)
    pairs = draw_pairs(texts, labelling, sampling, params, 0)
    for pair in pairs:
        for text, also in ((pair.first, pair.first_also), (pair.second, pair.second_also)):
            assert pair.concept not in also
            if labelling == "given":
                assert {pair.concept, *also} == {*own[text]}
    assert any(pair.first_also for pair in pairs) == (labelling != "length")


MODERATION = {
    "texts": ("prompt",), "label": ("S", "H", "V", "HR", "SH"), "unlabelled": "harmless",
    "safe": ("harmless",),
    "names": {"S": "sexual", "H": "hate", "V": "violence", "HR": "harassment", "SH": "self-harm"},
}  # fmt: skip
REFUSAL = {
    "texts": ("instruction",), "label": "", "safe": ("harmless",),
    "names": {"harmful_train": "harmful", "harmful_val": "harmful", "harmful_test": "harmful",
              "harmless_test": "harmless"},
}  # fmt: skip
REAL: dict[str, tuple[dict[str, Any], int, int]] = {
    "intents": ({"texts": ("text",), "label": "category"}, 77, 3080),
    "moderation": (MODERATION, 6, 1680),
    "refusal": (REFUSAL, 2, 7137),
}


@pytest.mark.parametrize(("name", "case"), REAL.items(), ids=REAL)
def test_real_tables_by_params_alone(name: str, case: tuple[dict[str, Any], int, int]) -> None:
    """And every row is somewhere, or counted."""
    if not (DATA / name).is_dir():
        pytest.skip("the real corpora lie beside the project only where it is developed")
    knobs, concepts, rows = case
    corpus = read_tables(csv_corpora(DATA / name, **knobs), 0)
    check_corpus(corpus)
    assert len({e.concept for e in corpus.examples}) == concepts
    assert len(corpus.examples) + len(corpus.several) + sum(corpus.dropped.values()) == rows
    assert all(e.response == "" for e in corpus.examples)
    assert bool(corpus.several) == (name == "moderation")
