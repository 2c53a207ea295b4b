"""The tables of docs/params.md: every knob with what it may be, by its type in
pipeline/core/sections.py, and its value and its meaning in params.yaml."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.core.params import Params
from pipeline.reporting.markdown import drawn

PARAMS_FILE = Path("params.yaml")
LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<rest>.*)")
COMMENT = re.compile(r"(?:^|\s)# (?P<text>.*)$")
LONGEST_SHOWN = 40  # characters of a value
BESIDE = 10  # the column from which a line of comment alone belongs to the knob above
PATTERNS = {
    "": "text",
    r"^[a-z0-9][a-z0-9_-]*$": "name of small letters, digits, `_` and `-`",
    "^[0-9a-f]{40}$": "40 hexadecimal digits",
    "^[0-9a-f]{64}$": "64 hexadecimal digits",
}
BOUNDS = {
    "exclusiveMinimum": "above {}",
    "minimum": "{} or more",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
}

Schema = Mapping[str, Any]


def tables_of_params() -> str:
    """The tables of all sections, each under its heading and the comment of its first line."""
    parts = [table_of_params(".")]
    for section in sections():
        said = meanings().get(section, "")
        sentence = f"{said[0].upper()}{said[1:]}.".replace("..", ".") if said else ""
        parts += [f"## {section}", *filter(None, [sentence]), table_of_params(section)]
    return "\n\n".join(parts)


def sections(schema: Schema | None = None, path: str = "") -> list[str]:
    """The dotted names of all sections and tables of rows, in the order of their types."""
    found: list[str] = []
    for name, own in (schema or _root())["properties"].items():
        below, dotted = _resolved(own), f"{path}.{name}".lstrip(".")
        if _is_section(below):
            found += [dotted, *sections(_row_of(below), dotted)]
    return found


def table_of_params(section: str) -> str:
    """The knobs of a section, by its dotted name, or of the file's head, ".". A table of rows, such
    as `variants`, has the columns of a row; a section within has a table of its own."""
    schema, values = _schema_at(section), _value_at(section)
    rows = []
    for name, own in schema["properties"].items():
        if not _is_section(_resolved(own)):
            meaning = meanings().get(f"{section}.{name}".strip("."), "")
            shown = "" if values is None else _shown(values[name])
            rows.append([f"`{name}`", kind_of(own), shown, _in_cell(meaning)])
    columns = ["knob", "may be", "is", "meaning"]
    if values is None:  # of a row, there are many values
        return drawn(columns[:2], [row[:2] for row in rows])
    return drawn(columns, rows)


def kind_of(schema: Schema) -> str:
    """What a knob may be, in words."""
    own = _resolved(schema)
    if "enum" in own or "const" in own:
        return ", ".join(f"`{value}`" for value in own.get("enum", [own.get("const")]))
    if "anyOf" in own:
        return ", or ".join(map(kind_of, own["anyOf"]))
    match own.get("type"):
        case "array":
            several = f" ({own['minItems']} or more)" if own.get("minItems") else ""
            return f"list{several} of: {kind_of(own['items'])}"
        case "integer" | "number" as kind:
            word = "whole number" if kind == "integer" else "number"
            bounds = [text.format(_bound(own[key])) for key, text in BOUNDS.items() if key in own]
            return ", ".join([word, *bounds])
        case "boolean":
            return "`true`, `false`"
        case "string":
            pattern = own.get("pattern", "")
            return PATTERNS.get(pattern, f"text like `{_in_cell(pattern)}`")
        case "object" if "additionalProperties" in own and not _is_section(own):
            return f"names, each with: {kind_of(own['additionalProperties'])}"
    return "a table of its own"


@cache
def meanings() -> dict[str, str]:
    """What the comments of params.yaml say, by the dotted name of the knob that they stand beside;
    a line of comment alone goes on with the one before."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in PARAMS_FILE.read_text(encoding="utf-8").splitlines():
        comment = COMMENT.search(line)
        if knob := LINE.fullmatch(line):
            depth = len(knob["indent"])
            path = [*(part for part in path if part[0] < depth), (depth, knob["key"])]
            found[_dotted(path)] = comment["text"] if comment else ""
        elif comment and comment.start() >= BESIDE and found.get(_dotted(path)):
            found[_dotted(path)] += f" {comment['text']}"
    return found


def _bound(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _dotted(path: list[tuple[int, str]]) -> str:
    return ".".join(name for _, name in path)


@cache
def _root() -> Any:
    return Params.model_json_schema()


def _resolved(schema: Schema) -> Any:
    """A schema itself, where it only names one."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return _root()["$defs"][name] if name else schema


def _is_section(schema: Schema) -> bool:
    return "properties" in schema or "patternProperties" in schema


def _schema_at(section: str) -> Any:
    schema = _root()
    for name in filter(None, section.split(".")):
        schema = _resolved(schema["properties"][name])
        schema = _row_of(schema)
    return schema


def _row_of(schema: Schema) -> Any:
    """A section itself, or a row where it is a table of them, by their names."""
    if "patternProperties" not in schema:
        return schema
    (row,) = schema["patternProperties"].values()
    return _resolved(row)


def _value_at(section: str) -> Any:
    """The values of a section; None for a table of rows, which each have their own."""
    tree = YAML(typ="safe", pure=True).load(PARAMS_FILE.read_text(encoding="utf-8"))
    schema = _root()
    for name in filter(None, section.split(".")):
        tree, schema = tree[name], _resolved(schema["properties"][name])
        if "properties" not in schema:
            return None
    return tree


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{_in_cell(text)}`" if 0 < len(text) <= LONGEST_SHOWN else ""


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|")
