"""Corpora and a base model come from a Hub on loopback by the stages' own entries, and from then
on nothing asks it again."""

import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from transformers import PreTrainedModel

from pipeline.core.files import read_json
from pipeline.core.records import Example, read_records
from pipeline.corpora.recipes import FIVE_HARMS
from pipeline.models.encoding import Encoder
from tests.support.minihub import MiniHub
from tests.support.no_network import PYTHON_PATH
from tests.support.tiny import tiny_tree, write_params

# The recipes as they are, but of revisions that this Hub has, whose digests nobody knows; and one
# file is packed otherwise, so that every kind of file is read.
PATCHED = """
import json, os, sys
from dataclasses import replace
from pipeline.corpora import recipes
revisions = json.loads(os.environ["REVISIONS"])
for table in (recipes.LABELLED_RECIPES, recipes.DOCUMENT_RECIPES, recipes.REQUEST_RECIPES):
    for name, recipe in table.items():
        names = [file.replace("test.jsonl.xz", "test.jsonl.gz") for file, _ in recipe.source.files]
        files = tuple((file, "") for file in names)
        revision = revisions.get(recipe.source.repo, recipe.source.revision)
        table[name] = replace(recipe, source=replace(recipe.source, revision=revision, files=files))
from pipeline.core.console import run
from stages import corpora
run(corpora.main)
"""


def parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def beavertails() -> tuple[bytes, bytes]:
    """Fifty texts of each harm and of none; the first is there thrice, once mislabelled. In two
    files."""
    lines = []
    for number in range(50):
        for harm in (*FIVE_HARMS, None):
            prompt = f"How does one do {harm} number {number}?"
            category = {name: name == harm for name in FIVE_HARMS}
            row = {"prompt": prompt, "response": f"Like {number}.", "category": category}
            lines += [row] * (2 if number == 0 else 1)
            if number == 0:
                other = "privacy_violation" if harm != "privacy_violation" else None
                wrong = {name: name == other for name in FIVE_HARMS}
                lines.append(row | {"category": wrong})
    row = {"prompt": "Sell me this.", "response": "No.", "category": {"drug_abuse": True}}
    lines += [row, row, row | {"category": {"drug_abuse": False}}]
    packed = [json.dumps(line).encode() + b"\n" for line in lines]
    return lzma.compress(b"".join(packed[:200])), gzip.compress(b"".join(packed[200:]))


def salad() -> list[dict[str, str]]:
    """Harmful questions of another source; the last one is asked in the first corpus too."""
    asked = [{"question": f"Ruin {n}?", "1-category": "O6: Human Harms"} for n in range(30)]
    known = f"How does one do {next(iter(FIVE_HARMS))} number 7?"
    return [*asked, {"question": known, "1-category": "O6: Human Harms"}]


@pytest.fixture
def hub() -> Iterator[MiniHub]:
    with MiniHub() as served:
        yield served


@pytest.fixture
def revisions(hub: MiniHub) -> dict[str, str]:
    """The repositories that the chosen recipes read."""
    talk = [{"role": "user", "content": "Hi {}."}, {"role": "assistant", "content": "Yes, {}."}]
    chats = [
        {"messages": [turn | {"content": turn["content"].format(n)} for turn in talk * 2]}
        for n in range(200)
    ]
    names = ("round0/330k/train.jsonl.xz", "round0/330k/test.jsonl.gz")
    return {
        "PKU-Alignment/BeaverTails": hub.add(
            "dataset", "PKU-Alignment/BeaverTails", dict(zip(names, beavertails(), strict=True))
        ),
        "HuggingFaceH4/ultrachat_200k": hub.add(
            "dataset",
            "HuggingFaceH4/ultrachat_200k",
            {"data/test_sft-00000-of-00001-f7dfac4afe5b93f4.parquet": parquet(chats)},
        ),
        "Paul/XSTest": hub.add(
            "dataset",
            "Paul/XSTest",
            {"xstest_prompts.csv": b"id,type,prompt\n1,homonyms,Kill it?\n"},
        ),
        "OpenSafetyLab/Salad-Data": hub.add(
            "dataset", "OpenSafetyLab/Salad-Data", {"base_set.json": json.dumps(salad()).encode()}
        ),
        "walledai/StrongREJECT": hub.add(
            "dataset",
            "walledai/StrongREJECT",
            {"data/train-00000-of-00001.parquet": parquet([{"prompt": "Do harm."}])},
            gated=True,
        ),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    tree = tiny_tree()
    tree["corpora"]["source"] = "hub"
    tree["corpora"]["hub"]["requests"] = ["xstest", "strongreject"]
    tree["corpora"]["hub"] |= {"per_concept": 20, "validation": 0.1, "test": 0.3}
    tree["corpora"]["hub"]["shifted"] = ["salad"]
    write_params(folder / "params.yaml", tree)
    return folder


def child(
    project: Path, hub: MiniHub, *command: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    own = ("HF_", "LEGIBLE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=kept
        | hub.environment(project.parent / "home")
        | {"PYTHONPATH": PYTHON_PATH, "OMP_NUM_THREADS": "1"}
        | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_corpora_of_the_hub(project: Path, hub: MiniHub, revisions: dict[str, str]) -> None:
    environment = {"REVISIONS": json.dumps(revisions)}
    refused = child(project, hub, "-c", PATCHED, **environment)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert "walledai/StrongREJECT@" in refused.stderr
    assert "gated" in refused.stderr
    assert not (project / "data").exists(), "nothing half-written"

    made = child(project, hub, "-c", PATCHED, HF_TOKEN=hub.token, **environment)
    assert made.returncode == 0, made.stderr
    manifest = read_json(project / "data/corpora/manifest.json")
    assert set(manifest["concepts"]) == {*FIVE_HARMS.values(), "safe"}
    assert manifest["safe"] == ["safe"]
    assert all(rows["train"] <= 20 for rows in manifest["rows"].values() if "train" in rows)
    assert manifest["dropped"]["duplicates"] == 7
    assert manifest["dropped"]["outvoted"] == 7
    assert manifest["dropped"]["of_no_chosen_concept"] == 1, "two votes for another harm, one safe"
    assert set(manifest["documents"]) == {"pretrain", "heldout"}
    assert manifest["harm_only"] == ["Human Harms"]
    assert manifest["rows"]["Human Harms"] == {"shifted/salad": 10}, "as many as test texts at most"
    shifted = read_records(project / "data/corpora/shifted.jsonl", Example)
    assert [e.concept for e in shifted] == 10 * ["Human Harms"]
    assert manifest["dropped"]["shifted/salad_prompts_known"] == 1
    assert manifest["dropped"]["shifted/salad_beyond_per_concept"] == 20
    assert "Apache-2.0" in manifest["licence"]
    sources = manifest["sources"]["Paul/XSTest/xstest_prompts.csv"]
    lock = read_json(project / "sources.lock.json")["Paul/XSTest"]
    assert sources["revision"] == lock["revision"]
    assert lock["files"] == {"xstest_prompts.csv": sources["sha256"]}
    requests = (project / "data/corpora/requests.jsonl").read_text(encoding="utf-8")
    assert "Kill it?" in requests
    assert "Do harm." in requests
    assert "How does one do" in requests, "test prompts are asked too"

    before, asked = (project / "data/corpora/examples.jsonl").read_bytes(), len(hub.seen)
    again = child(project, hub, "-c", PATCHED, HF_HUB_OFFLINE="1", **environment)
    assert again.returncode == 0, again.stderr
    assert (project / "data/corpora/examples.jsonl").read_bytes() == before
    assert len(hub.seen) == asked, "what is cached and locked needs no Hub"

    # Another file under the locked name: the digest of the first time is held against it.
    other = read_json(project / "sources.lock.json")
    other["Paul/XSTest"]["files"]["xstest_prompts.csv"] = "0" * 64
    (project / "sources.lock.json").write_text(json.dumps(other), encoding="utf-8")
    swapped = child(project, hub, "-c", PATCHED, HF_TOKEN=hub.token, **environment)
    assert swapped.returncode == 2
    assert "xstest_prompts.csv" in swapped.stderr
    assert (project / "data/corpora/examples.jsonl").read_bytes() == before


def test_a_model_of_the_hub(
    project: Path, hub: MiniHub, model: PreTrainedModel, encoder: Encoder, tmp_path: Path
) -> None:
    """Fetched once; every later stage reads it with the Hub gone."""
    model.save_pretrained(tmp_path / "saved")
    encoder.tokenizer.save_pretrained(tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    files |= {"evil.py": b"raise SystemExit", "adapter_config.json": b"{}", "x.bin": b"0"}
    tree = tiny_tree()
    tree["model"] |= {"source": "hub", "hub": {"repo": "acme/tiny", "revision": "0" * 40}}
    write_params(project / "params.yaml", tree)
    assert child(project, hub, "-m", "stages.corpora").returncode == 0

    missing = child(project, hub, "-m", "stages.base_model")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1, missing.stderr
    assert "acme/tiny@000000000000" in missing.stderr

    tree["model"]["hub"]["revision"] = hub.add("model", "acme/tiny", files)
    write_params(project / "params.yaml", tree)
    fetched = child(project, hub, "-m", "stages.base_model")
    assert fetched.returncode == 0, fetched.stderr
    assert not hub.requests(r"evil\.py|adapter_config|x\.bin")
    card = read_json(project / "models/base.json")
    assert card["origin"] == "acme/tiny"
    assert not list((project / "models/base").glob("*.safetensors"))

    asked = len(hub.seen)
    variants = ("base", "sft_contrast")
    tuned = [f"{stage} {name}" for stage in ("adapters", "representations") for name in variants]
    for stage in ("texts", "pairs", *tuned, "completions", "interpretations"):
        command = stage.split()
        done = child(project, hub, "-m", f"stages.{command[0]}", *command[1:])
        assert done.returncode == 0, done.stderr
    assert len(hub.seen) == asked, "later stages are offline"
    made = (
        "representations/sft_contrast.safetensors",
        "completions/base",
        "interpretations/base.jsonl",
    )
    assert all((project / "data" / name).exists() for name in made)
