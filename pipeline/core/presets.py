"""Presets: params for a real model or corpus, laid over params.yaml.

    legible-preset llama-3.1-8b paper-safety

changes what the presets name in params.yaml. Everything else stays, with comments and order.
"""

import sys
from collections.abc import Mapping
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


def main() -> None:
    names = sys.argv[1:]
    if not names:
        raise InputError(f"which preset? Name one or more of: {', '.join(known())}")
    apply(names)
    print(f"params.yaml holds {', '.join(names)}; `dvc repro` runs it, `git diff` shows it")


def known() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def apply(names: list[str]) -> None:
    """Lay presets over params.yaml, one after the other; the result is checked before it is kept.

    Raises InputError for an unknown preset or a result that cannot be run; params.yaml is then as
    it was.
    """
    load_params(PARAMS)
    yaml = YAML()
    yaml.width = 300
    tree = yaml.load(PARAMS.read_text(encoding="utf-8"))
    for name in names:
        if name not in known():
            raise InputError(f"no preset {name!r}; known: {', '.join(known())}")
        lay_over(tree, YAML(typ="safe").load((PRESETS / f"{name}.yaml").read_text("utf-8")))
    with whole(PARAMS) as draft:
        yaml.dump(tree, draft)
        try:
            load_params(draft)
        except InputError as mistake:
            raise InputError(f"{' + '.join(names)} over {PARAMS} cannot run: {mistake}") from None


def lay_over(tree: Any, preset: Mapping[str, Any]) -> None:
    """Set every leaf of a preset in the tree, which is changed. Lists are written in one line, and
    of a list of mappings each."""
    for key, value in preset.items():
        if key in ROWS:  # a row that was removed is not brought back
            value = {name: row for name, row in value.items() if name in tree[key]}
        if isinstance(value, Mapping):
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
