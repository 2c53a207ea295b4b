"""A pretrained model on a user's own texts: the params are ones that can run."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import on_texts
from commands.start import fitting
from pipeline.core.console import InputError
from pipeline.core.params import load_params
from tests.support.clones import git
from tests.support.dag import ROOT


@pytest.mark.parametrize(
    ("preset", "safe"), [("smollm2-135m-package", []), ("smollm2-135m", ["fine", "so so"])]
)
def test_its_params_can_run(tmp_path: Path, preset: str, safe: list[str]) -> None:
    for name in ("params.yaml", f"presets/{preset}.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "as published")
    texts = tmp_path / "texts of mine"
    for _ in range(2):  # a run that goes on writes them again
        on_texts.write_params(tmp_path, preset, texts, "topic: one", safe)
    params = load_params(tmp_path / "params.yaml")
    assert params.corpora.csv.folder == str(texts)
    assert (params.corpora.csv.label, params.corpora.csv.safe) == ("topic: one", tuple(safe))
    assert tuple(params.variants) == fitting.VARIANTS
    assert params.variants["shuffled"].labels == "shuffled"
    assert (params.model.source, params.finetune.positions) == (
        "package" if preset.endswith("package") else "hub",
        ("last",),
    )


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_folder_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["on_texts", "--texts", folder and str(tmp_path / folder)])
    with pytest.raises(InputError, match="TEXTS="):
        on_texts.main()


def test_make_names_what_it_is_given() -> None:
    given = ["TEXTS=a folder", "LABEL=topic", "SAFE=fine other"]
    said = subprocess.run(
        ["make", "--no-print-directory", "-n", "real", *given],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert '--texts "a folder" --label "topic"' in said
    assert said.rstrip().endswith("--safe fine other")
