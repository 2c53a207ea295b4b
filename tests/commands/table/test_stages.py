"""`make table` runs the stages whose metrics it reads, and holds all that decide them to params."""

import re
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML

from commands.table.measured import READ
from commands.table.this_run import DECIDING
from tests.support.dag import ROOT


def stages() -> dict[str, dict[str, Any]]:
    found = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    return {name: stage.get("do", stage) for name, stage in found.items()}


def made_by(stage: dict[str, Any]) -> set[str]:
    """The paths of a stage's outputs; those of a variant as far as they are everybody's."""
    listed = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    paths = [path for entry in listed for path in (entry if isinstance(entry, dict) else [entry])]
    return {path.partition("/${")[0] for path in paths}


def makers(path: str) -> set[str]:
    """The stages that make a path, what it lies in, or what lies in it."""
    own = PurePosixPath(path.partition("/${")[0])
    return {
        name
        for name, stage in stages().items()
        if any(
            own.is_relative_to(made) or PurePosixPath(made).is_relative_to(own)
            for made in made_by(stage)
        )
    }


def before(targets: set[str]) -> set[str]:
    """The stages that some stages need, and these."""
    known: set[str] = set()
    while new := targets - known:
        known |= new
        targets = {maker for name in new for dep in stages()[name]["deps"] for maker in makers(dep)}
    return known


def run_by_make() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(
        r"^table:.*\n\t@python -m pipeline\.core\.reproduce (.*) 1>&2$", text, re.M
    )
    return set(recipe.split())


def test_make_table_runs_the_stages_whose_metrics_it_reads() -> None:
    assert run_by_make() == {maker for name in READ for maker in makers(f"metrics/{name}")}


def test_all_stages_that_decide_the_numbers_are_held_to_params() -> None:
    assert before(run_by_make()) - {"params"} == set(DECIDING)
