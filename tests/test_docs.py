"""README.md and docs/ say what is there: their commands, code, links, paths, knobs and numbers."""

import ast
import json
import re
import subprocess
from pathlib import Path

import networkx
import pytest
from transformers import PreTrainedModel

from benchmarks.results_table import SHOWN, TABLES, renewed
from pipeline.models.encoding import Encoder
from tests.support.clones import new_clone
from tests.support.dag import ROOT
from tests.support.pages import (
    ENDINGS,
    FENCE,
    PAGES,
    PARAMS,
    PROJECT,
    STAGES,
    check_shell,
    fixed,
    is_code,
    is_knob,
    is_there,
    module_of,
    run_shell,
    written_by,
)  # fmt: skip

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCKS = [
    pytest.param(found["kind"], found["code"], found["why"], id=f"{page.stem}-{count}")
    for page, text in PAGES.items()
    for count, found in enumerate(FENCE.finditer(text))
]


def touch(one: str, other: str) -> bool:
    """Whether one path is the other, or lies within it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 10_000


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_their_anchors_resolve(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)|src(?:set)?=\"([^\"]+)\"", PAGES[page])
    for link in filter(None, (one or other for one, other in links)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.M) if anchor else []
        assert not anchor or anchor in map(slug, headings), link


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_paths_modules_and_knobs_that_are_named_are_there(page: Path) -> None:
    prose = FENCE.sub("", PAGES[page])
    for name in re.findall(r"`([^`\n]+)`", prose):
        if re.fullmatch(r"[\w./<>*-]+", name) and (name.endswith(ENDINGS) and len(name) > 6):
            assert is_there(name) or is_there(name, page.parent), name
        head = name.split(":")[0]
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", head) and head.split(".")[0] in PARAMS:
            assert is_knob(head), name
        if re.fullmatch(r"(pipeline|stages|benchmarks|tests)(\.\w+)+", name):
            assert is_code(name), name


@pytest.mark.parametrize(("kind", "code", "why"), BLOCKS)
def test_a_block_has_a_kind_and_what_it_names_exists(kind: str, code: str, why: str | None) -> None:
    assert kind in ("sh", "python", "mermaid", "text", "yaml", "diff"), "name its language"
    if kind == "python":
        compile(code, "block", "exec")
        for module in re.findall(r"^(?:from|import) (pipeline[\w.]+)", code, re.M):
            assert module_of(module), module
    if kind == "sh":
        check_shell(code)


def test_shell_blocks_run(tmp_path: Path) -> None:
    """Those without a reason not to, one after the other, in a copy of the project."""
    clone = new_clone(tmp_path)
    for kind, code, why in (block.values for block in BLOCKS):
        if kind == "sh" and why is None:
            run_shell(code, clone)
            subprocess.run(["git", "checkout", "-q", "."], cwd=clone, check=True)


@pytest.mark.parametrize(
    "code", [pytest.param(b.values[1], id=b.id) for b in BLOCKS
             if b.values[0] == "python" and b.values[2] is None],
)  # fmt: skip
def test_python_blocks_run(code: str, model: PreTrainedModel, encoder: Encoder) -> None:
    """Given a model and its tokenizer, as their pages say."""
    exec(code, {"model": model, "tokenizer": encoder.tokenizer})  # noqa: S102


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_are_those_of_the_committed_results(page: Path) -> None:
    """`python -m benchmarks.results_table` writes them anew."""
    assert renewed(PAGES[page]) == PAGES[page]


def test_every_variant_and_every_number_stands_in_the_headline() -> None:
    summary = json.loads((ROOT / "metrics/summary.json").read_text(encoding="utf-8"))
    header, _, *rows = TABLES["headline"]().splitlines()
    assert set(re.findall(r"`(\w+)`", header)) == set(summary) >= set(SHOWN)
    assert {row.split("`")[1] for row in rows} == {
        number for row in summary.values() for number in row
    }


QUOTED = re.compile(r"<!-- numbers: ([^>]+) -->\n(.*?)(?:\n\n|\Z)", re.S)
ESTIMATE = re.compile(r"[-+]?[\d.]+ \[[-+\d.]+, [-+\d.]+\]")
NUMBER = re.compile(r"(?<![\w.-])[-+]?\d*\.\d+(?!\.?\w)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_number_in_prose_names_the_file_that_holds_it(page: Path) -> None:
    """Decimals stand in tables made of results, in code, or under `numbers: FILE`."""
    shown = re.sub(r"<!-- table: .*?<!-- end -->", "", PAGES[page], flags=re.S)
    shown = re.sub(r"```.*?```|`[^`]*`", "", QUOTED.sub("", shown), flags=re.S)
    shown = re.sub(
        r"arXiv.*|(?:[Pp]ython|transformers|qemu|torch|BY-NC) [\d.]+|\d{4}\.\d{4,5}", "", shown
    )
    assert not NUMBER.findall(shown)


@pytest.mark.parametrize(
    ("sources", "text"),
    [pytest.param(*found.groups(), id=f"{page.stem}-{count}") for page, own in PAGES.items()
     for count, found in enumerate(QUOTED.finditer(own))],
)  # fmt: skip
def test_quoted_numbers_stand_in_the_file_that_is_named(sources: str, text: str) -> None:
    """At the digits shown, as they are or as how many times less; a number with an interval as the
    three stand together there."""
    held = [
        float(number)
        for source in sources.split(", ")
        for number in re.findall(r"-?\d+\.?\d*(?:e-\d+)?", (ROOT / source).read_text("utf-8"))
    ]
    held += [1 / number for number in held if number]
    whole = "".join((ROOT / source).read_text("utf-8") for source in sources.split(", "))
    whole = whole.replace("**", "")  # a change that is clear is bold
    for estimate in ESTIMATE.findall(text):
        assert estimate.replace("+", "").replace("0.", ".") in whole.replace("+", "").replace(
            "0.", "."
        ), estimate
    quoted = NUMBER.findall(text)
    assert quoted
    for shown in quoted:
        half = 0.5001 * 10.0 ** -len(shown.partition(".")[2])
        assert any(abs(number - float(shown)) <= half for number in held), shown


def test_the_flow_chart_is_that_of_the_dag() -> None:
    """Its arrows are those stages that need each other directly; what follows from others is left
    out."""
    chart = re.search(r"```mermaid\nflowchart TD\n(.*?)```", PAGES[ROOT / "README.md"], re.S)
    assert chart
    drawn = set()
    for line in chart[1].splitlines():
        ranks = [rank.split(" & ") for rank in line.strip().split(" --> ")]
        drawn |= {(a, b) for i, rank in enumerate(ranks[1:]) for a in ranks[i] for b in rank}
    needed = networkx.DiGraph(
        (maker, name)
        for name, stage in STAGES.items()
        for maker, other in STAGES.items()
        if maker != name
        and any(touch(dep, out) for dep in map(fixed, stage["deps"]) for out in written_by(other))
    )
    assert drawn == set(networkx.transitive_reduction(needed).edges)


def test_the_table_of_stages_names_the_params_that_are_declared() -> None:
    table, _, _ = PAGES[ROOT / "docs/pipeline.md"].partition("<!-- table")
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", table, re.M)
    assert {name for name, _ in rows} == set(STAGES)
    for name, cell in rows:
        declared = {entry.partition(".")[0] for entry in STAGES[name].get("params", [])
                    if isinstance(entry, str)}  # fmt: skip
        if name == "params":
            assert cell == "all"
        elif cell == "all but runtime, seeds":
            assert declared == set(PARAMS) - {"runtime", "seeds"}
        else:
            assert set(cell.split(", ")) == declared, name


def test_the_packages_are_described_as_they_describe_themselves() -> None:
    page = PAGES[ROOT / "docs/architecture.md"]
    described = dict(re.findall(r"^\| `(\w+)` \| ([A-Z].+) \|$", page, re.M))
    packages = [path.parent for path in ROOT.glob("pipeline/*/__init__.py")]
    for package in packages:
        text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
        assert text
        assert described[package.name] == " ".join(text.split()), package.name
    assert len(described) == len(packages)


def test_the_layers_are_those_of_the_contract() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("exhaustive"))
    drawn = re.findall(r'\b(?:stages|l\d)\["([^"]+)"\]', PAGES[ROOT / "docs/architecture.md"])
    assert drawn == [*contracts[0]["layers"][:-1], *layers]
