"""README.md and docs/ taken apart: their blocks of code, and whether what they name is there."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.core.params import Params
from pipeline.models.launching import LAUNCH
from pipeline.models.meeting import WAIT
from tests.support.dag import ROOT
from tests.support.no_network import PYTHON_PATH

AT_ROOT = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = {
    page: page.read_text(encoding="utf-8")
    for page in [*(ROOT / name for name in AT_ROOT), *sorted(ROOT.glob("docs/*.md"))]
}
PARAMS: Any = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
DVC: Any = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = {
    n: stage.get("do", stage) for n, stage in DVC["stages"].items()
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCRIPTS: dict[str, str] = PROJECT["project"]["scripts"]
FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<kind>\w*)\n(?P<code>.*?)```", re.S
)
AFTER_A_RUN = "needs a finished run"  # why a block runs in tests/stages/test_pipeline.py alone
YOURS = ("my/", "prompts.txt", "work/")  # what a reader has or makes
ENDINGS = (
    ".py",
    ".yaml",
    ".json",
    ".md",
    ".csv",
    ".lock",
    ".html",
    ".toml",
    ".jinja",
    ".txt",
    ".sh",
    ".sbatch",
    "/",
)
DVC_COMMANDS = (
    "repro", "exp run", "exp show", "exp push", "exp pull", "exp apply", "metrics diff",
    "params diff", "plots diff", "dag", "push", "pull", "remote add", "remote modify",
)  # fmt: skip


def run_shell(code: str, folder: Path) -> None:
    """Run a block of shell in a copy of the project, whose console scripts are of this code,
    whatever is installed. Fails with what was printed where a command does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    scripts = "".join(
        f'{name}() {{ python -m {target.partition(":")[0]} "$@"; }}\n'
        for name, target in SCRIPTS.items()
    )
    done = subprocess.run(
        ["bash", "-euc", scripts + code], cwd=folder, check=False, capture_output=True, text=True,
        env=os.environ | {"PATH": path, "PYTHONPATH": PYTHON_PATH, "GIT_PAGER": "cat"},
    )  # fmt: skip
    assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"


def fixed(path: str) -> str:
    """A path of dvc.yaml, up to the first name that depends on params."""
    return path.partition("$")[0].rstrip("/")


def written_by(stage: dict[str, Any]) -> set[str]:
    outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    return {fixed(out if isinstance(out, str) else next(iter(out))) for out in outs}


WRITTEN = set().union(*map(written_by, STAGES.values()))


def is_there(path: str, below: Path = ROOT) -> bool:
    """A file or folder of the project, one that a stage writes, or the reader's own. What stands
    in angle brackets may be anything."""
    path = re.sub(r"<\w+>", "*", path)
    if path.startswith(YOURS) or any(below.glob(path.rstrip("/"))):
        return True
    return any(f"{path}/".startswith(f"{out}/") for out in WRITTEN)


def is_knob(dotted: str) -> bool:
    """A key of params.yaml."""
    tree = PARAMS
    for key in dotted.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True


def is_code(dotted: str) -> bool:
    """A module or a package, or a name in one."""
    if module_of(dotted):
        return True
    owner, _, name = dotted.rpartition(".")
    module = module_of(owner)
    return bool(module and re.search(rf"\b{name}\b", module.read_text(encoding="utf-8")))


def module_of(dotted: str) -> Path | None:
    path = ROOT.joinpath(*dotted.split("."))
    found = [p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()]
    return found[0] if found else None


def check_shell(code: str) -> None:
    """Fails where a command names what is not there, or leaves params that cannot be run."""
    tree = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for line in first_turn(code).splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words:
                _check_command(words[0], words[1:])
            for flag, change in pairwise(words):
                if flag == "-S":
                    _set(tree, *change.split("=", 1))
    Params.model_validate(tree)


def first_turn(code: str) -> str:
    """A block whose loops are replaced by their first turn."""
    for name, first in re.findall(r"^for (\w+) in (\S+)[^;]*; do$", code, re.M):
        code = code.replace(f"${name}", first)
    return re.sub(r"^((for|while) .*; do|done)$", "", code, flags=re.M)


def _check_command(program: str, rest: list[str]) -> None:
    code = None
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        given = [word.partition("=")[0] for word in rest if "=" in word]
        assert {word for word in rest if "=" not in word} <= set(
            re.findall(r"^(\w+):", makefile, re.M)
        ), rest
        assert all(f"$({name})" in makefile for name in given), rest
    elif program == "legible-preset":
        assert all((ROOT / "presets" / f"{name}.yaml").is_file() for name in rest), rest
    elif program in SCRIPTS:
        code = module_of(SCRIPTS[program].partition(":")[0])
        assert code, program
    elif program == "sbatch":
        for word in rest:
            if "=" in word and not word.startswith("--"):
                assert is_knob(word.partition("=")[0]), word
    elif program == "python":
        code = module_of(rest[1]) if rest[0] == "-m" else None
        assert code, rest
    elif program in ("torchrun", "accelerate"):
        assert module_of(rest[rest.index("-m") + 1]), rest
    elif program == "export":
        assert rest[0].partition("=")[0] in (LAUNCH, WAIT), rest
    elif program == "dvc":
        assert " ".join(rest).startswith(DVC_COMMANDS), rest
    else:
        assert program in ("git", "source", "pip", "pytest", "cd"), program
    for word in rest:
        if word.startswith("--") and code:
            assert f'"{word}"' in _options_of(code), word
        if re.fullmatch(r"[\w./-]+", word) and word.endswith(ENDINGS):
            assert is_there(word), word


def _options_of(code: Path) -> str:
    """A module, with those beside it from which it takes what it imports."""
    own = code.read_text(encoding="utf-8")
    found = map(module_of, re.findall(r"^from ([\w.]+) import", own, re.M))
    return own + "".join(
        path.read_text(encoding="utf-8") for path in found if path and path.parent == code.parent
    )


def _set(tree: Any, path: str, value: str) -> None:
    assert is_knob(path), path
    *sections, key = path.split(".")
    for name in sections:
        tree = tree[name]
    tree[key] = YAML(typ="safe").load(value)
