"""What pyproject.toml promises of an installation is there. Nothing is built."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from setuptools import find_packages

from tests.support.dag import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = ROOT / "constraints.txt"
SETUPTOOLS = PROJECT["tool"]["setuptools"]


@pytest.mark.parametrize("target", PROJECT["project"]["scripts"].values())
def test_every_command_is_a_function(target: str) -> None:
    module, name = target.split(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_every_folder_of_code_is_packaged() -> None:
    folders = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for package in ("pipeline", "stages", "commands")
        for path in (ROOT / package).rglob("*.py")
    }
    found = find_packages(str(ROOT), include=SETUPTOOLS["packages"]["find"]["include"])
    assert set(found) == folders


def test_every_other_file_of_a_package_is_packaged_with_it() -> None:
    declared = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in (ROOT / Path(*package.split("."))).glob(pattern)
    }
    data = {
        path
        for package in ("pipeline", "stages", "commands")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert data
    assert declared == data


def test_the_citation_is_of_this_version_and_licence() -> None:
    cited = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    told = PROJECT["project"]
    assert (cited["version"], cited["license"]) == (told["version"], told["license"])


def test_every_optional_library_is_pinned() -> None:
    """`pip install --constraint constraints.txt '.[EXTRA]'` gives one version of each, today as in
    a year. What pins its own libraries, against ours, is pinned where it stands."""
    pinned = {line.partition("==")[0].lower() for line in CONSTRAINTS.read_text("utf-8").split()}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = {
        re.split(r"[\[<>]", name)[0]
        for names in extras.values()
        for name in names
        if "==" not in name
    }
    assert wanted - {"legible-models"} <= pinned
