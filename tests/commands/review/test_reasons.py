"""Why stages run again, in plain words: worked examples in entries of dvc.lock."""

from typing import Any

import pytest

from commands.review.reasons import MOST_NAMED, grouped, in_code, some, sources_of, value, why_again


def stage(deps: dict[str, str], outs: dict[str, str], cmd: str = "run", **params: Any
          ) -> dict[str, Any]:  # fmt: skip
    entries = [[{"path": p, "md5": md5} for p, md5 in some.items()] for some in (deps, outs)]
    return {"cmd": cmd, "deps": entries[0], "outs": entries[1], "params": {"params.yaml": params}}


CODE = {"pipeline/core": "1", "stages/pairs.py": "1"}
BEFORE = {
    "pairs": stage(CODE | {"data/texts": "1", "baseline.json": "1"}, {"data/pairs": "1"},
                   pairs={"count": 9, "whole": 0.5}, seed=0),
    "adapters@base": stage({"data/pairs": "1"}, {"models/adapters/base/x": "1"}),
    "report": stage({"models/adapters": "1"}, {"report/index.html": "1"}),
}  # fmt: skip


def changed(name: str, **parts: Any) -> dict[str, Any]:
    return {**BEFORE, name: {**BEFORE[name], **parts}}


def given(seed: int, **pairs: Any) -> dict[str, Any]:
    return {"params.yaml": {"pairs": pairs, "seed": seed}}


def deps(name: str, **md5: str) -> list[dict[str, str]]:
    own = {entry["path"]: entry["md5"] for entry in BEFORE[name]["deps"]}
    paths = {path.replace("/", "_").replace(".", "_"): path for path in own}
    own |= {paths[key]: digest for key, digest in md5.items()}
    return [{"path": path, "md5": digest} for path, digest in own.items()]


def test_nothing_ran_again_where_nothing_differs() -> None:
    assert why_again(BEFORE, BEFORE, ["pipeline/core/files.py"]) == {}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (changed("pairs", params=given(seed=1, count=12, whole=0.5)),
         ["param `pairs.count` `9` → `12`, `seed` `0` → `1`"]),
        (changed("pairs", params=given(seed=0, count=9, new=True)),
         ["param `pairs.whole` `0.5` → none, `pairs.new` none → `true`"]),
        (changed("pairs", deps=deps("pairs", pipeline_core="2")),
         ["code: `pipeline/core/files.py`"]),
        (changed("pairs", deps=deps("pairs", stages_pairs_py="2")), ["code: `stages/pairs.py`"]),
        (changed("pairs", deps=deps("pairs", baseline_json="2")), ["changed: `baseline.json`"]),
        (changed("pairs", cmd="other"), ["its command changed"]),
        (changed("pairs", outs=[{"path": "data/pairs", "md5": "2"}]),
         ["no input changed, and yet other bytes in `data/pairs`"]),
    ],
)  # fmt: skip
def test_one_change_is_one_reason(after: dict[str, Any], said: list[str]) -> None:
    assert why_again(BEFORE, after, ["pipeline/core/files.py", "README.md"]) == {"pairs": said}


def test_what_another_stage_made_is_named_by_that_stage() -> None:
    """By the folder that holds its parts, too, and without the variant's name."""
    after = changed("adapters@base", deps=deps("adapters@base", data_pairs="2"))
    assert why_again(BEFORE, after, []) == {"adapters@base": ["new from `pairs`"]}
    after = changed("report", deps=deps("report", models_adapters="2"))
    assert why_again(BEFORE, after, []) == {"report": ["new from `adapters`"]}
    makers = {"data/pairs-all": "all", "data/pairs": "pairs"}
    assert sources_of("data/pairs/x.jsonl", makers) == ["pairs"], "a name's beginning is no folder"


def test_stages_come_and_go() -> None:
    fewer = {name: own for name, own in BEFORE.items() if name != "report"}
    assert why_again(fewer, BEFORE, []) == {"report": ["it is new"]}
    assert why_again(BEFORE, fewer, []) == {"report": ["it is gone"]}


def test_what_somebody_wrote_breaks_no_table() -> None:
    """A value may hold anything, also what Markdown takes for its own."""
    for text in ("a|b", "`rm`", "two\nlines", "x" * 999, {"a": ["|", "`"]}, "@everyone"):
        shown = value(text)
        assert shown[0] == shown[-1] == "`"
        assert not set(shown[1:-1]) & {"`", "|", "\n"}
        assert len(shown) < 50
    assert value("") == '`""`'
    assert in_code("a`|`b") == "`a'/'b`"


def test_long_lists_are_cut_and_counted() -> None:
    assert some(["a"] * MOST_NAMED) == ", ".join(["a"] * MOST_NAMED)
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_variants_of_which_the_same_is_said_are_one_line() -> None:
    lines = {"pairs": "x", "adapters@a": "y", "adapters@b": "y", "adapters@c": "z"}
    assert grouped(lines) == {"pairs": "x", "adapters (2 variants)": "y", "adapters@c": "z"}
