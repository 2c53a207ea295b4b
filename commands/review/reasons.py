"""Why a stage runs again, in plain words: from what dvc.lock says of it, then and now.

Pure functions. A stage here is an entry of dvc.lock: its command, `deps`, `outs` and `params`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pipeline.core.imports import PACKAGES

Stage = Mapping[str, Any]
Stages = Mapping[str, Stage]
MOST_NAMED = 3  # files, params or outputs that a sentence names
LONGEST_VALUE = 40  # characters


def why_again(before: Stages, after: Stages, changed_files: Iterable[str]) -> dict[str, list[str]]:
    """Why each stage that ran again between two versions of dvc.lock did; those that are new or
    gone too. changed_files: all that differ between the two, from which code is named."""
    files, makers = [*changed_files], makers_of(after)
    found = {}
    for name in dict.fromkeys((*after, *before)):
        if name not in after:
            found[name] = ["it is gone"]
        elif name not in before:
            found[name] = ["it is new"]
        else:
            found[name] = [*_reasons(before[name], after[name], makers, files)]
    return {name: reasons for name, reasons in found.items() if reasons}


def _reasons(before: Stage, after: Stage, makers: Mapping[str, str], files: Sequence[str]
             ) -> Iterator[str]:  # fmt: skip
    if before.get("cmd") != after.get("cmd"):
        yield "its command changed"
    yield from of_params(before.get("params", {}), after.get("params", {}))
    then, now = digests(before, "deps"), digests(after, "deps")
    moved = [path for path in dict.fromkeys((*now, *then)) if then.get(path) != now.get(path)]
    yield from of_inputs(moved, makers, files)
    if not moved and before.get("params") == after.get("params"):
        then, now = digests(before, "outs"), digests(after, "outs")
        if then != now and before.get("cmd") == after.get("cmd"):
            other = [path for path in now if then.get(path) != now[path]]
            yield f"no input changed, and yet other bytes in {first_few(other)}"


def of_params(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """The params that differ, with both values."""
    then, now = dict(leaves(before)), dict(leaves(after))
    moved = {p: (then.get(p), now.get(p)) for p in {**then, **now} if then.get(p) != now.get(p)}
    if moved:
        said = [f"`{'.'.join(p[1:])}` {value(old)} → {value(new)}" for p, (old, new) in
                moved.items()]  # fmt: skip
        yield f"param {some(said)}"


def of_inputs(paths: Iterable[str], makers: Mapping[str, str], files: Sequence[str]
              ) -> Iterator[str]:  # fmt: skip
    """Changed inputs: code, what other stages made, and other files."""
    code, made, other = list[str](), list[str](), list[str]()
    for path in paths:
        sources = sources_of(path, makers)
        if PurePosixPath(path).parts[0] in PACKAGES:
            inside = [file for file in files if PurePosixPath(file).is_relative_to(path)]
            code += inside or [path]
        elif sources:
            made += sources
        else:
            other.append(path)
    if code:
        yield f"code: {first_few(dict.fromkeys(code))}"
    if made:
        yield f"new from {first_few(dict.fromkeys(made))}"
    if other:
        yield f"changed: {first_few(other)}"


def sources_of(path: str, makers: Mapping[str, str]) -> list[str]:
    """The stages that make an input, or parts of it, without the names of variants."""
    here = PurePosixPath(path)
    return [
        *dict.fromkeys(
            stage.partition("@")[0]
            for out, stage in makers.items()
            if here.is_relative_to(out) or PurePosixPath(out).is_relative_to(here)
        )
    ]


def makers_of(stages: Stages) -> dict[str, str]:
    """Which stage makes each output."""
    return {out["path"]: name for name, own in stages.items() for out in own.get("outs", [])}


def digests(stage: Stage, kind: str) -> dict[str, str]:
    return {entry["path"]: entry.get("md5", "") for entry in stage.get(kind, [])}


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Every value of a tree by its path of keys."""
    for key, entry in tree.items():
        if isinstance(entry, Mapping):
            yield from leaves(entry, (*path, str(key)))
        else:
            yield (*path, str(key)), entry


def value(entry: object) -> str:
    """A param's value, short and on one line; it may be anything that somebody wrote."""
    if entry is None:
        return "none"
    plain = entry.split() if isinstance(entry, str) else []
    text = " ".join(plain or json.dumps(entry, ensure_ascii=False).split())
    return in_code(text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…")


def in_code(text: str) -> str:
    """A span of code in a cell of a table, whatever the text is."""
    plain = " ".join(text.split()).replace("`", "'").replace("|", "/")
    return f"`{plain}`"


def first_few(names: Iterable[str]) -> str:
    return some([in_code(name) for name in names])


def some(words: Sequence[str]) -> str:
    """A few of them, and how many more there are."""
    more = len(words) - MOST_NAMED
    return ", ".join(words[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def grouped(lines: Mapping[str, str]) -> dict[str, str]:
    """Variants of one stage of which the same is said, as one line: `adapters (8 variants)`."""
    members: dict[tuple[str, str], list[str]] = {}
    for name, text in lines.items():
        members.setdefault((name.partition("@")[0], text), []).append(name)
    return {
        names[0] if len(names) == 1 else f"{stage} ({len(names)} variants)": text
        for (stage, text), names in members.items()
    }
