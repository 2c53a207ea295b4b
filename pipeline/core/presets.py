"""Presets: params for a real model or corpus, laid over params.yaml.

    legible-preset llama-3.1-8b paper-safety

changes what the presets name in params.yaml. Everything else stays, with comments and order.
"""

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pipeline.core.console import InputError, run
from pipeline.core.files import whole
from pipeline.core.params import load_params

PRESETS = Path("presets")
PARAMS = Path("params.yaml")
ROWS = ("variants", "edits")  # tables whose rows a user may have removed
WHOLE = ("names",)  # tables that are replaced and not laid over


def main() -> None:
    names = sys.argv[1:]
    if not names:
        raise InputError(f"which preset? Name one or more of: {', '.join(known())}")
    apply(names)
    print(f"params.yaml holds {', '.join(names)}; `dvc repro` runs it, `git diff` shows it")


def known() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset(name: str) -> dict[str, Any]:
    """What a preset sets. Raises InputError for an unknown one."""
    if name not in known():
        raise InputError(f"no preset {name!r}; known: {', '.join(known())}")
    return dict(YAML(typ="safe").load((PRESETS / f"{name}.yaml").read_text("utf-8")))


def apply(names: list[str]) -> None:
    """Lay presets over params.yaml, one after the other.

    Raises InputError for an unknown preset or a result that cannot be run; params.yaml is then as
    it was.
    """
    with laid_over(" + ".join(names)) as tree:
        for name in names:
            lay_over(tree, preset(name))


@contextmanager
def laid_over(what: str, path: Path = PARAMS) -> Iterator[Any]:
    """params.yaml as a tree to change, with its comments; written whole where the result can run.

    what: is laid over it, in words for the InputError that says why it cannot.
    """
    load_params(path)
    yaml = YAML()
    yaml.width = 300
    tree = yaml.load(path.read_text(encoding="utf-8"))
    yield tree
    with whole(path) as draft:
        yaml.dump(tree, draft)
        try:
            load_params(draft)
        except InputError as mistake:
            raise InputError(f"{what} over {path} cannot run: {mistake}") from None


def plain(tree: Any) -> Any:
    """A tree, or a part of one, as load_params reads it: without comments."""
    text = io.StringIO()
    YAML().dump(tree, text)
    return YAML(typ="safe", pure=True).load(text.getvalue())


def lay_over(tree: Any, preset: Mapping[str, Any]) -> None:
    """Set every leaf of a preset in the tree, which is changed. Lists are written in one line, and
    of a list of mappings each."""
    for key, value in preset.items():
        if key in ROWS:  # a row that was removed is not brought back
            value = {name: row for name, row in value.items() if name in tree[key]}
        if key in WHOLE:
            tree[key] = CommentedMap(value)
            tree[key].fa.set_flow_style()
        elif isinstance(value, Mapping):
            lay_over(tree[key], value)
        elif isinstance(value, list):
            tree[key] = _listed(value)
        else:
            tree[key] = value


def _listed(values: list[Any]) -> CommentedSeq:
    rows = [CommentedMap(value) for value in values if isinstance(value, Mapping)]
    listed = CommentedSeq(rows or values)
    for in_one_line in rows:
        in_one_line.fa.set_flow_style()
    if not rows:
        listed.fa.set_flow_style()
    return listed


def command() -> None:
    run(main)


if __name__ == "__main__":
    command()
