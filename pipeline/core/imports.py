"""Which files of the project a module runs: read from its imports, without running any."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "stages")


def reached(module: Path) -> list[Path]:
    """A module and every file of the project that it imports, directly or not, at its head or in a
    function. Paths below ROOT, sorted. A package's `__init__.py` runs too, and counts where it is
    not empty."""
    found, waiting = set[Path](), {module}
    while waiting:
        found |= waiting
        waiting = {path for known in waiting for path in _imported(ROOT, known)} - found
    return sorted(found)


@cache
def _imported(root: Path, module: Path) -> frozenset[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((root / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    modules = [Path(*name.split(".")) for name in names if name.split(".")[0] in PACKAGES]
    files = {module, *(path.with_suffix(".py") for path in modules)}
    packages = {folder / "__init__.py" for path in files for folder in path.parents[:-1]}
    packages |= {path / "__init__.py" for path in modules}
    return frozenset(
        path
        for path in files | packages
        if (root / path).is_file() and (root / path).stat().st_size
    )
