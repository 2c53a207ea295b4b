"""What pyproject.toml promises of an installation is there. Nothing is built."""

import importlib
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

from tests.support.dag import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
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
