"""Every line that docs/troubleshooting.md quotes is one that the code can say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dag import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)` \|", PAGE, re.M)
ANY = "\0"  # what a value puts into a line


def lines_of(path: Path) -> Iterator[str]:
    """The strings of a module as they may be said, ANY for each value."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else ANY for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{\w*\}", ANY, node.value)


MODULES = [
    path
    for package in ("pipeline", "stages", "commands")
    for path in (ROOT / package).rglob("*.py")
]
SAID = [line for path in MODULES for line in lines_of(path)]
SAID.append((ROOT / "Makefile").read_text(encoding="utf-8"))


def is_said(quoted: str) -> bool:
    """Whether some line holds the quoted words in their order, with something for each name in
    angle brackets."""
    pattern = ".+?".join(map(re.escape, re.split(r"<\w+>", quoted)))
    return any(re.search(pattern, line) for line in SAID)


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_line_is_one_that_the_code_says(quoted: str) -> None:
    assert is_said(quoted)


def test_a_line_that_no_code_says_is_found_out() -> None:
    assert not is_said("the loss diverges: it was <number> at step")
    assert not is_said("<file> is missing; ask a colleague")
    assert len(QUOTED) > 25
