"""The house has an order: eleven packages, no import circle, short files, tests where code is."""

import ast
import graphlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipeline.core.imports import ROOT, reached

PIPELINE = ROOT / "pipeline"
PACKAGES = sorted(path.parent.name for path in PIPELINE.glob("*/__init__.py"))
MODULES = sorted(
    path.relative_to(ROOT) for path in PIPELINE.rglob("*.py") if path.name != "__init__.py"
)
LONGEST = 250  # lines of a file that gives no reason
REASON = "Longer than other"
TESTS_OF_NO_PACKAGE = {"commands", "golden", "stages", "support"}


def circles(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one circle in a graph, each before the one that it reaches; none of none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def committed(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    return [path for path in map(Path, listed) if (ROOT / path).exists()]


def public_names(path: Path) -> Iterable[str]:
    """What a module defines at its head for others: classes, functions and constants."""
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found = [name]
            case ast.Assign(targets=targets):
                found = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                found = [name]
            case _:
                found = []
        yield from (name for name in found if not name.startswith("_"))


def reached_modules(module: Path) -> Iterable[Path]:
    return (path for path in reached(module) if path != module and path in MODULES)


def test_a_circle_is_found_however_long() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert {*circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})} == {"a", "b", "c"}


def test_no_modules_import_each_other() -> None:
    """At their heads or within functions."""
    graph = {str(module): {*map(str, reached_modules(module))} for module in MODULES}
    assert circles(graph) == []


def test_no_packages_import_each_other() -> None:
    graph: dict[str, set[str]] = {package: set() for package in PACKAGES}
    for module in MODULES:
        graph[module.parts[1]] |= {path.parts[1] for path in reached_modules(module)}
    for package, others in graph.items():
        others.discard(package)
    assert circles(graph) == []


def test_every_module_lives_in_one_of_eleven_packages() -> None:
    assert len(PACKAGES) == 11
    assert {path.parts[1] for path in MODULES} == {*PACKAGES}
    assert all(len(path.parts) == 3 for path in MODULES), "and in no package within"


def test_no_two_modules_use_one_name_for_what_they_define() -> None:
    """But for `main`, what a stage runs, and `command`, what a console script runs."""
    homes: dict[str, list[str]] = {}
    for path in committed("pipeline/*.py", "stages/*.py", "commands/*.py"):
        for name in set(public_names(path)) - {"main", "command"}:
            homes.setdefault(name, []).append(str(path))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_and_runs_nothing(package: str) -> None:
    text = (PIPELINE / package / "__init__.py").read_text(encoding="utf-8")
    (only,) = ast.parse(text).body
    assert isinstance(only, ast.Expr)
    assert isinstance(only.value, ast.Constant)
    assert isinstance(only.value.value, str)


@pytest.mark.parametrize("path", committed("*.py"), ids=str)
def test_a_long_file_says_why(path: Path) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST or REASON in " ".join(lines[:20]), f"{len(lines)} lines"


def test_the_pipeline_is_read_at_one_sitting() -> None:
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 420


def test_every_package_has_its_folder_of_tests_and_every_folder_its_package() -> None:
    folders = {path.parts[1] for path in committed("tests") if len(path.parts) > 2}
    assert folders - TESTS_OF_NO_PACKAGE == {*PACKAGES}
