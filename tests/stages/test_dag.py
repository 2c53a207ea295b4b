"""dvc.yaml says what the code does: the laws that DVC does not keep by itself.

Longer than other files, as all laws of one file stand here.
"""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.core.imports import PACKAGES, ROOT, reached
from pipeline.core.params import Params, load_params
from pipeline.core.sections import Section
from pipeline.monitors.classifiers import MULTILAYER, NEURONS, new_monitors
from pipeline.monitors.pooled import POOLINGS
from pipeline.reporting.headline import write_curves
from pipeline.training.finetuning import CurvePoint
from tests.support.dag import sections_read

DVC: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage) for name, stage in DVC["stages"].items()
}
MODULES = {path.stem: path for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__"}


def test_every_stage_has_its_file_and_every_file_its_stage() -> None:
    assert set(STAGES) == set(MODULES)


@pytest.mark.parametrize("name", STAGES)
def test_commands_are_constant(name: str) -> None:
    assert STAGES[name]["cmd"] == f"python -m stages.{name}"


def declared_code(name: str) -> list[Path]:
    """The files and packages of code that a stage declares."""
    paths = map(Path, STAGES[name]["deps"])
    return [path for path in paths if path.parts[0] in PACKAGES]


@pytest.mark.parametrize("name", STAGES)
def test_declared_code_covers_what_a_stage_reaches(name: str) -> None:
    declared = declared_code(name)
    for path in reached(Path("stages", f"{name}.py")):
        assert any(path.is_relative_to(own) for own in declared), f"{name} reaches {path}"


@pytest.mark.parametrize("name", STAGES)
def test_no_declared_code_is_unreached(name: str) -> None:
    needed = reached(Path("stages", f"{name}.py"))
    for own in declared_code(name):
        assert any(path.is_relative_to(own) for path in needed), f"{name} reaches nothing of {own}"


def test_the_base_model_is_trained_anew_for_its_own_file_of_training_alone() -> None:
    """Pretraining is the longest stage: an edit of a finetune's code must not run it again."""
    of_training = [path for path in declared_code("base_model") if "training" in path.parts]
    assert Path("pipeline/training") not in of_training
    assert Path("pipeline/training/pretraining.py") in of_training
    assert {*of_training} == {
        p for p in reached(Path("stages/base_model.py")) if "training" in p.parts
    }


@pytest.mark.parametrize("name", STAGES)
def test_declared_params_are_those_read(name: str) -> None:
    entries = STAGES[name].get("params", [])  # a dict is of another file than params.yaml
    declared = {entry.partition(".")[0] for entry in entries if isinstance(entry, str)}
    if name == "params":  # it reads the whole file, and so depends on the file
        assert not declared
        assert "params.yaml" in STAGES[name]["deps"]
    else:
        assert declared == sections_read(Path("stages", f"{name}.py")) - {"runtime"}


def test_every_section_is_read_by_a_stage_that_works_with_it() -> None:
    read = set().union(*(sections_read(Path("stages", f"{name}.py")) for name in STAGES))
    assert read == set(Params.model_fields) - {"seeds"}, "which `make seeds` alone reads"


def test_the_machine_is_no_parameter() -> None:
    for stage in STAGES.values():
        assert "runtime" not in stage.get("params", [])


def test_every_stage_stands_behind_the_check_of_params() -> None:
    for name, stage in STAGES.items():
        assert name == "params" or "data/params.schema.json" in stage["deps"]


PLOTS = {folder: plot for entry in DVC["plots"] for folder, plot in entry.items()}


def columns_of(plot: str) -> list[str]:
    return [PLOTS[plot]["x"], *PLOTS[plot]["y"]]


def test_every_kind_of_monitor_is_plotted() -> None:
    kinds = [*new_monitors(neighbours=1, seed=0), MULTILAYER, NEURONS, *POOLINGS]
    assert columns_of("metrics/roc") == ["false_positive_rate", *kinds]


def test_every_term_of_the_learning_curve_is_plotted() -> None:
    assert columns_of("metrics/adapters") == [field.name for field in fields(CurvePoint)]


def test_every_curve_over_layers_is_plotted(tmp_path: Path) -> None:
    (plot,) = (entry["metrics/curves"] for entry in STAGES["summary"]["plots"])
    write_curves(tmp_path / "curves", {"silhouette": [(1, "base", 0.5, 0.4, 0.6)]})
    columns = header_of(tmp_path / "curves" / "silhouette.csv")
    template = (ROOT / ".dvc" / "plots" / f"{plot['template']}.json").read_text(encoding="utf-8")
    in_template = set(re.findall(r'"field": "([a-z]+)"', template)) - {"rev"}
    assert {plot["x"], plot["y"]} | in_template == set(columns)


@pytest.mark.parametrize("plot", ["metrics/roc", "metrics/adapters"])
def test_committed_tables_have_the_columns_that_are_plotted(plot: str) -> None:
    tables = sorted((ROOT / plot).glob("*.csv"))
    assert tables, "results are committed"
    for table in tables:
        assert header_of(table) == columns_of(plot), table


def header_of(table: Path) -> list[str]:
    return table.read_text(encoding="utf-8").partition("\n")[0].split(",")


def test_templates_are_names_from_a_closed_list() -> None:
    """Only variants' names, labels and samplings reach paths; params.py restricts all three."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    allowed = {
        "variants",
        "key",
        "item.labels",
        "item.sampling",
        "control.model",
        "corpora.csv.folder",
        "corpora.prompts.folder",
        "model.path.location",
    }
    assert set(re.findall(r"\$\{([^}]*)\}", text)) == allowed


def test_no_knob_has_a_default() -> None:
    """A knob has one home: params.yaml."""

    def walk(section: type[Section]) -> None:
        for name, field in section.model_fields.items():
            assert field.is_required(), f"{section.__name__}.{name}"

    for section in Section.__subclasses__():
        walk(section)


def test_the_lock_holds_the_stages_of_the_dag_and_no_other() -> None:
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    variants = load_params(ROOT / "params.yaml").variants
    expected = {
        f"{name}@{variant}" if "foreach" in stage else name
        for name, stage in DVC["stages"].items()
        for variant in (variants if "foreach" in stage else [""])
    }
    assert set(lock["stages"]) == expected


def test_committed_results_belong_to_committed_code_and_params() -> None:
    """dvc.lock's hashes of code and results are those of the files as they are."""
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    committed = set(
        subprocess.run(
            ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.splitlines()
    )
    checked = 0
    for stage in lock["stages"].values():
        for entry in [*stage["deps"], *stage["outs"]]:
            if entry["path"] in committed:
                digest = hashlib.md5((ROOT / entry["path"]).read_bytes(), usedforsecurity=False)
                assert digest.hexdigest() == entry["md5"], entry["path"]
                checked += 1
    assert checked > 100


def test_folders_that_many_stages_fill_are_the_sum_of_their_parts() -> None:
    """`dvc repro --dry` does not compare what one stage wrote with what the next one read there:
    results committed after a partial run would pass."""
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    written = {
        out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]
    }
    checked = 0
    for name, stage in lock["stages"].items():
        for dep in stage["deps"]:
            parts = [
                {"md5": md5, "relpath": path.removeprefix(f"{dep['path']}/")}
                for path, md5 in sorted(written.items())
                if path.startswith(f"{dep['path']}/")
            ]
            if parts and dep["md5"].endswith(".dir"):
                listing = json.dumps(parts, sort_keys=True).encode()
                digest = hashlib.md5(listing, usedforsecurity=False).hexdigest()
                assert dep["md5"] == f"{digest}.dir", f"{name} read another {dep['path']}"
                checked += 1
            elif dep["path"] in written:
                assert dep["md5"] == written[dep["path"]], f"{name} read another {dep['path']}"
                checked += 1
    assert checked > 30


def test_every_committed_metric_comes_from_a_stage() -> None:
    outs = [
        next(iter(out)) if isinstance(out, dict) else out
        for stage in STAGES.values()
        for out in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    ]
    variants = load_params(ROOT / "params.yaml").variants
    made = {Path(out.replace("${key}", name)) for out in outs for name in variants}
    listed = subprocess.run(
        ["git", "ls-files", "metrics", "figures"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert listed, "results are committed"
    for path in map(Path, listed):
        assert made & {path, *path.parents}, path


LIGHT = ("params", "corpora", "pairs", "separation", "transport", "monitors", "robustness",
         "hiding", "safety", "fidelity", "selfie", "control", "summary",
         "figures", "report")  # fmt: skip


@pytest.mark.parametrize("name", LIGHT)
def test_light_stages_import_no_torch(name: str) -> None:
    """Nor does anything else they need, though some import it only where they use it."""
    modules = [
        ".".join(path.with_suffix("").parts) for path in reached(Path("stages", f"{name}.py"))
    ]
    code = f"import {', '.join(modules)}, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_other_stage_runs_the_model() -> None:
    torch_stages = set(STAGES) - set(LIGHT)
    assert all(
        Path("pipeline/models/loading.py") in reached(Path("stages", f"{n}.py"))
        for n in torch_stages
    )


def test_what_packages_hold_is_declared() -> None:
    """A package runs before its modules: what its __init__ holds is a dependency of every stage."""
    for package in PACKAGES:
        init = Path(package, "__init__.py")
        if (ROOT / init).stat().st_size:  # those below are in the packages that stages declare
            for stage in STAGES.values():
                assert str(init) in stage["deps"]
