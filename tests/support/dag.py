"""What the code says about the DAG: which params a stage reads."""

import ast
from pathlib import Path

from pipeline.core.imports import ROOT


def sections_read(stage: Path) -> set[str]:
    """The sections of params.yaml that a stage reads: every attribute taken from `params`."""
    tree = ast.parse((ROOT / stage).read_text(encoding="utf-8"))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
    }
