"""What an edit of params.yaml re-runs, in a finished tiny run: what reads it, and no more.

All tests here share one clone, and run in their order on one worker (`--dist loadfile`).
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from pipeline.core.files import sha256_of
from tests.support.clones import EVERY_STAGE, Edit, digests, dvc, repro
from tests.support.tiny import VARIANTS

READ_VARIANTS = {"completions", "streams", "interpretations", "separation", "transport",
                 "monitors", "verdicts", "safety", "fidelity", "selfie", "summary",
                 "figures"}  # fmt: skip
# Two that keep their former output while they run, and those whose outputs are in git and no metric
# or plot of DVC's.
NEVER_FROM_THE_RUN_CACHE = {"params", "corpora", "separation", "transport", "monitors", "hiding",
                            "robustness", "safety", "fidelity", "selfie", "control",
                            "summary"}  # fmt: skip
# What reads no text that is only scored. States are read in batches, which decide their last bits:
# so other texts in `shifted` run again what is made of states.
UNSHIFTED = {"base_model", "pairs", *(f"adapters@{name}" for name in VARIANTS), "edits",
             "completions", "verdicts", "safety", "fidelity"}  # fmt: skip
EDITS = {
    "the machine": (
        lambda tree: tree["runtime"].update(threads=3),
        {"params"},  # it reads the whole file, and writes what it wrote before
        {"params"},
    ),
    "a figure": (
        lambda tree: tree["figures"].update(map_texts=5),
        {"params", "figures", "report"},
        {"params", "figures", "report"},
    ),
    "one variant": (
        lambda tree: tree["variants"]["sft_contrast"].update(contrast_weight=0.5),
        {"params", "adapters@sft_contrast", "report", *READ_VARIANTS},
        {
            "params",
            "adapters@sft_contrast",
            "representations@sft_contrast",
            "further_training",
            "hiding",
            "attacks",
            "robustness",
            "report",
            *READ_VARIANTS,
        },
    ),
    "another corpus": (
        lambda tree: tree["corpora"]["embedded"].update(shifted=7),
        {"params", "corpora", "report"},
        EVERY_STAGE - UNSHIFTED,
    ),
    "the corpora": (
        lambda tree: tree["corpora"]["embedded"].update(ambiguity=0.5),
        {"params", "corpora", "report"},
        # documents and described texts stay as they are: the base model is not trained again
        EVERY_STAGE - {"base_model"},
    ),
}


@pytest.mark.parametrize(("change", "named", "ran"), EDITS.values(), ids=EDITS)
def test_only_what_changed_runs_again(
    clone: Path,
    edited: Edit,
    change: Callable[[Any], object],
    named: set[str],
    ran: set[str],
) -> None:
    """And going back runs no model: former results come out of the run cache."""
    before = digests(clone)
    edited(change)
    assert set(json.loads(dvc(clone, "status", "--json").stdout)) == named
    assert repro(clone) == ran
    edited(lambda tree: None)
    assert repro(clone) <= NEVER_FROM_THE_RUN_CACHE
    assert digests(clone) == before


def test_faults_replaced_weights_of_ones_own_model_run_again_by_themselves(
    clone: Path, edited: Edit
) -> None:
    """The folder is followed where it is the source; what depends on the model runs again too."""
    mine = Path(shutil.copytree(clone / "models/base", clone / "my/model"))
    edited(lambda tree: tree["model"].update(source="path", path={"location": "my/model"}))
    assert repro(clone, "texts") == {"params", "base_model", "texts"}
    assert repro(clone, "texts") == set()
    weights = load_file(mine / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, mine / "model.safetensors", {"format": "pt"})
    changed = json.loads(dvc(clone, "status", "--json", "base_model").stdout)["base_model"]
    assert changed == [{"changed deps": {"my/model": "modified"}}]
    assert repro(clone, "texts") == {"base_model", "texts"}
    card = json.loads((clone / "models/base.json").read_text(encoding="utf-8"))
    assert card["files"]["model.safetensors"]["sha256"] == sha256_of(mine / "model.safetensors")
    ignoring = clone / "my/.dvcignore"
    ignoring.write_text("*.safetensors\n", encoding="utf-8")
    refused = dvc(clone, "repro", "--force", "--single-item", "base_model")
    assert refused.returncode
    assert "model.safetensors is ignored by" in refused.stderr
    assert "Traceback" not in refused.stderr
