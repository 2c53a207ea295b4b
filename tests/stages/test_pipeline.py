"""The road, end to end, in a clone with tiny params: every stage through `dvc repro`, two runs of
the same bytes, and what a killed run leaves behind.

All tests here share one clone, and run in their order on one worker (`--dist loadfile`).
"""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.reporting.short_headline import MEANT
from tests.support.clones import EVERY_STAGE, PRINTED, Edit, digests, dvc, repro
from tests.support.pages import AFTER_A_RUN, FENCE, PAGES, run_shell
from tests.support.tiny import VARIANTS

READ = {
    f"{name}{split}"
    for name in (
        "best_probe",
        "best_frozen_probe",
        "above_best_frozen",
        "probe_accuracy",
        "words_accuracy",
    )
    for split in ("", "_novel", "_shifted")
}
HEADLINE = READ | {
    "centroid_accuracy", "centroid_accuracy_novel", "knn_accuracy", "knn_accuracy_novel",
    "silhouette", "cosine_within", "cosine_between", "coding_rate_gap", "monitor_auroc",
    "harmful_rate", "over_refusal_rate", "refusal_gap", "perplexity",
    "kl_to_base", "kl_of_openings",
    "selfie_accuracy", "selfie_control_accuracy", "selfie_input_only_accuracy",
    "selfie_logit_lens_accuracy", "selfie_base_reader_accuracy", "selfie_reader_only_accuracy",
    "selfie_affine_accuracy", "selfie_calibration_error", "selfie_accuracy_of_surest_half",
}  # fmt: skip


def test_nothing_to_do(clone: Path) -> None:
    assert "Data and pipelines are up to date." in dvc(clone, "repro").stdout


OF_DVC = re.compile(
    r"Running stage '.*':|> python -m stages\.\w+|Updating lock file 'dvc.lock'|"
    r"Generating lock file 'dvc.lock'|Use `dvc push` to send your updates to remote storage\.|"
)


def test_faults_a_run_prints_no_warning(clone: Path) -> None:
    """Nothing but which stage runs. Sockets were refused, and no library asked for one: see
    conftest.no_attempt."""
    lines = (clone / PRINTED).read_text(encoding="utf-8").splitlines()
    assert lines
    assert [line for line in lines if not OF_DVC.fullmatch(line.strip())] == []


def test_the_headline_is_whole(clone: Path) -> None:
    summary = json.loads((clone / "metrics/summary.json").read_text(encoding="utf-8"))
    assert set(summary) == set(VARIANTS)
    for row in summary.values():
        assert set(row) == HEADLINE
        assert row["best_frozen_probe"] == summary["base"]["best_probe"]
    assert summary["base"]["kl_to_base"] == 0
    assert summary["sft_contrast"]["kl_to_base"] > 0
    short = json.loads((clone / "metrics/headline.json").read_text(encoding="utf-8"))
    assert set(short) <= set(MEANT)
    assert {"probe", "novel", "shifted", "silh", "refuse", "ppl", "selfie"} <= set(short)


def test_metrics_carry_layers_positions_and_intervals(clone: Path) -> None:
    tree = json.loads((clone / "metrics/separation/base.json").read_text(encoding="utf-8"))
    pairs, probes = tree.pop("pairs"), tree.pop("probes")
    assert set(tree) == {"layer_0", "layer_1", "layer_2"}
    for position in tree.values():
        assert set(position) == {"prompt_end", "last", "mean"}
    assert set(probes) == {"read", "best", "frozen", "above_frozen"}
    assert set(probes["best"]) == {"test", "novel", "shifted", "shifted/everyday"}
    for name, estimate in tree["layer_1"]["last"]["novel"].items():
        ends = {"low", "high"} if not name.startswith("hausdorff") else set()
        assert set(estimate) == {"value", *ends}
    assert set(pairs) == {"test", "novel"}
    number = sum(map(len, pairs["test"].values()))
    assert number == 6 * 7 / 2, "every two of six concepts, and each within"
    assert set(pairs["test"]["fraud"]["safe"]["angle"]) == {"value", "low", "high"}
    transport = json.loads((clone / "metrics/transport/base.json").read_text(encoding="utf-8"))
    assert set(transport) == {"layer_0", "layer_1", "layer_2"}
    assert {"k_variance_scaled", "kv_margin", "gap_test", "gap_novel"} < set(transport["layer_1"])


def test_pictures_and_page_are_there(clone: Path) -> None:
    """All but `recall`, for which no set of so small a run has harmless texts enough."""
    pictures = {"map", "cosines", "separation", "layers", "transport_test", "transport_novel",
                "roc", "reliability", "alarms", "cascade", "matrix", "behaviour", "tradeoff",
                "control", "interpretation", "crossings", "moved", "training",
                "hiding", "under_attack", "searches"}  # fmt: skip
    for theme in ("light", "dark"):
        drawn = {path.stem for path in (clone / "figures" / theme).glob("*.svg")}
        texts = {name for name in drawn if name.startswith("tokens_")}
        assert drawn - texts == pictures
        assert len(texts) == 2
    page = (clone / "report/index.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 2 * len(drawn)
    assert not re.search(r'(src|href|srcset)="(?!data:|#)', page), "the page fetches nothing"
    assert all(f">{name}</th>" in page for name in VARIANTS)


def test_curves_are_there_for_dvc_plots(clone: Path) -> None:
    shown = json.loads(dvc(clone, "plots", "show", "--json").stdout)["data"]
    for name in (
        "metrics/curves/knn_accuracy.csv",
        "metrics/curves/selfie_state.csv",
        "metrics/attacks/curves/token_suffix_logistic.csv",
        "dvc.yaml::metrics/adapters/sft_contrast.csv",
    ):
        (chart,) = shown[name]
        assert chart["content"]["facet"]["field"] in chart["content"]["data"]["values"][0], name


def test_the_example_reads_the_base_model(clone: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.interpret"],
        cwd=clone, check=True, capture_output=True, text=True,
    )  # fmt: skip
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["layer", "token", "interpretation", "relevancy"]
    assert [row.split()[0] for row in rows] == ["0", "1", "2"]


MONITORED = """
from pathlib import Path

from pipeline.inference.monitor_cli import load_monitored_model
from pipeline.monitors.saved import load_monitor

own = load_monitor(Path("models/monitors/true_negatives/mean.json"))
model, encoder = load_monitored_model(None, own)
tokenizer = encoder.tokenizer
"""  # what a page means by "your own program": a model that monitors are of, and its tokenizer
BLOCKS = [
    pytest.param(found["kind"], found["code"], id=f"{page.stem}-{count}")
    for page, text in PAGES.items()
    for count, found in enumerate(FENCE.finditer(text))
    if found["why"] == AFTER_A_RUN
]


@pytest.fixture(scope="module")
def followed(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that has what pages name: prompts, a model, and the monitors of a variant
    that the tiny run does not train."""
    run = Path(shutil.copytree(clone, tmp_path_factory.mktemp("followed") / "run", symlinks=True))
    shutil.copytree(run / "models/monitors/sft_contrast", run / "models/monitors/true_negatives")
    shutil.copytree(run / "models/base", run / "my/model")
    (run / "prompts.txt").write_text("Tell me how to bake bread.\n", encoding="utf-8")
    return run


@pytest.mark.parametrize(("kind", "code"), BLOCKS)
def test_code_on_the_pages_runs_after_a_run(followed: Path, kind: str, code: str) -> None:
    if kind == "python":
        given = "" if "tokenizer = " in code else MONITORED
        code = f"python -c {shlex.quote(given + code)}"
    run_shell(code, followed)


def test_results_hold_no_machine(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home, folder = str(Path.home()).encode(), str(tmp_path_factory.getbasetemp().parent).encode()
    assert str(clone).encode().startswith(folder)
    for name in digests(clone):
        content = (clone / name).read_bytes()
        assert folder not in content, f"{name}: where it was made"
        assert home not in content or home == b"/", name


def test_git_sees_only_results(clone: Path) -> None:
    listed = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=clone, check=True, capture_output=True,
        text=True,
    ).stdout.splitlines()  # fmt: skip
    assert {line[3:].split("/")[0] for line in listed} == {"dvc.lock", "metrics", "figures"}


def test_same_seed_same_bytes(clone: Path) -> None:
    """Two runs of every stage give one dvc.lock."""
    before = (clone / "dvc.lock").read_bytes()
    assert repro(clone, "--force") == EVERY_STAGE
    assert (clone / "dvc.lock").read_bytes() == before


FINETUNE = [sys.executable, "-m", "stages.adapters", "sft_contrast"]
ADAPTER = "models/adapters/sft_contrast/adapter_model.safetensors"


def test_a_finetune_that_was_killed_goes_on(clone: Path, edited: Edit) -> None:
    """Killed or stopped by SIGTERM, it ends with the bytes of an uninterrupted run; another one
    starts anew."""

    def long(tree: Any) -> None:
        tree["variants"]["sft_contrast"]["steps"] = 10
        tree["runtime"]["checkpoint_every"] = 1

    def finetune() -> str:
        done = subprocess.run(FINETUNE, cwd=clone, check=True, capture_output=True, text=True)
        return done.stderr

    def stop_midway(number: signal.Signals, code: int) -> None:
        process = subprocess.Popen(FINETUNE, cwd=clone, stderr=subprocess.DEVNULL)
        while not kept.exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        assert process.wait() == code
        assert kept.exists()

    killed, asked = (signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)

    before = (clone / ADAPTER).read_bytes()
    kept = clone / "models/unfinished/sft_contrast.safetensors"
    edited(long)
    assert "going on" not in finetune()
    whole = (clone / ADAPTER).read_bytes()
    for how in (killed, asked):
        stop_midway(*how)
        assert "going on" in finetune()
        assert (clone / ADAPTER).read_bytes() == whole
        assert not kept.exists()
    stop_midway(*killed)
    edited(lambda tree: None)
    assert "going on" not in finetune()
    assert (clone / ADAPTER).read_bytes() == before
