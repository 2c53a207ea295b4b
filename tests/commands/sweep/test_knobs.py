"""Knobs set in params.yaml: values as YAML has them, all else as it was, mistakes in one line."""

import shutil
from pathlib import Path

import pytest

from commands.review.reasons import leaves
from commands.sweep.knobs import set_knobs
from pipeline.core.console import InputError
from pipeline.core.params import load_params
from tests.support.dag import ROOT


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_knobs_are_set_and_nothing_else_is(project: Path) -> None:
    before = dict(leaves(load_params().model_dump()))
    set_knobs(["seed=3", "finetune.learning_rate=1e-5", "finetune.target_layers=[2, 3]",
               "variants.true_negatives.contrast=supcon"])  # fmt: skip
    params = load_params()
    after = dict(leaves(params.model_dump()))
    assert sum(after[name] != before[name] for name in before) == 4
    text = (project / "params.yaml").read_text(encoding="utf-8")
    assert "over several, the loss is averaged" in text, "comments stay"
    assert (params.seed, params.finetune.learning_rate) == (3, 1e-5)
    assert params.finetune.target_layers == (2, 3)
    assert params.variants["true_negatives"].contrast == "supcon"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("finetune.learning_rat=1", "no knob finetune.learning_rat; did you mean 'learning_rate'"),
        ("nothing.at.all=1", "no knob nothing.at.all; known: "),
        ("seed.more=1", "no knob seed.more; known: $"),
        ("seed", "seed: write a knob as section.key=value"),
        ("seed=[1", r"seed=\[1 is no YAML"),
        ("seed=many", "seed=many over params.yaml cannot run: "),
        ("finetune.target_layers=[9]", "cannot run: "),
    ],
)
def test_faults_a_knob_that_cannot_be_set_is_one_line(project: Path, word: str, line: str) -> None:
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(InputError, match=line):
        set_knobs(["pairs.count=900", word])
    assert (project / "params.yaml").read_bytes() == before
