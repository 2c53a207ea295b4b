"""What is stale and why, stage by stage, in plain words: `make status`.

Reads dvc.lock, the working tree and what DVC says of both; runs nothing. In a clone without a
cache, outputs that are not on this machine make no stage stale: they are named at the end.

    .venv/bin/python -m commands.review.status
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.git import lines_of
from commands.review.reasons import (
    Stages,
    digests,
    first_few,
    grouped,
    makers_of,
    of_inputs,
    of_params,
    sources_of,
)
from pipeline.core.console import InputError, run
from pipeline.core.reproduce import LOCK, check_lock

FRESH = "up to date"


@dataclass
class State:
    """A stage. reasons: why it is stale; follows: those before it that are, where nothing else is
    wrong; absent: its outputs that are not on this machine."""

    reasons: list[str] = field(default_factory=list)
    follows: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def stale(self) -> bool:
        return bool(self.reasons or self.follows)

    def line(self) -> str:
        if self.reasons:
            return f"stale: {'; '.join(self.reasons)}"
        if self.follows:
            return f"follows {first_few(self.follows)}: runs if that gives something else"
        return FRESH


def main() -> None:
    check_lock(LOCK)
    print(status_page(stage_states(Path.cwd())))


def status_page(states: Mapping[str, State]) -> str:
    """A line a stage, and what is not on this machine."""
    lines = grouped({name: state.line() for name, state in states.items()})
    width = max(map(len, lines), default=0)
    shown = [f"{name:<{width}}  {text}" for name, text in lines.items()]
    absent = [out for state in states.values() for out in state.absent]
    if absent:
        shown += ["", f"not on this machine: {first_few(absent)}; `dvc pull` fetches what a remote "
                  "has, `make repro` makes the rest"]  # fmt: skip
    stale = sum(state.stale for state in states.values())
    text = "\n".join([*shown, "", how_many_stale(stale, len(states))])
    return text.replace("`", "")  # which Markdown needs, and a terminal does not


def how_many_stale(stale: int, stages: int) -> str:
    if not stale:
        return f"All {stages} stages are up to date."
    return f"{stale} of {stages} stages are stale, or follow one that is; `make repro` runs them."


def stage_states(folder: Path) -> dict[str, State]:
    """Every stage of a project, in the order of dvc.yaml; last, those that dvc.lock alone knows.

    Raises InputError where DVC cannot read dvc.yaml.
    """
    from dvc.exceptions import DvcException  # type: ignore[import-untyped]
    from dvc.repo import Repo  # type: ignore[import-untyped]

    lock = read_lock(folder / LOCK)
    files = files_since_lock(folder)
    try:
        with chdir(folder), warnings.catch_warnings(), Repo() as repo:  # names are seen from here
            warnings.simplefilter("ignore", DeprecationWarning)  # of DVC's own libraries
            told, stages = repo.status(), list(repo.index.stages)
            before = {
                stage.addressing: [other.addressing for other in repo.index.graph.successors(stage)]
                for stage in stages
            }
            cached = {out.def_path for stage in stages for out in stage.outs if out.use_cache}
            params = {  # a file of params that a stage makes may not be on this machine
                stage.addressing: {
                    dep.def_path: dep.read_params() for dep in stage.params if dep.exists
                }
                for stage in stages
            }
    except DvcException as error:
        raise InputError(f"DVC cannot read this project: {error}") from None
    found = {}
    for name in before:
        state = State()
        if name in lock:
            then = lock[name].get("params", {})
            there = {file: then.get(file, {}) for file in params[name]}
            state.reasons += of_params(there, params[name])
            state.reasons += _of_paths(state, name, told.get(name, []), lock, files, cached)
        else:
            state.reasons.append("it was never run")
        found[name] = state
    _follow(found, before)
    gone = {name: State(["it is no longer in dvc.yaml"]) for name in lock if name not in before}
    return found | gone


def _of_paths(
    state: State,
    name: str,
    told: Iterable[Any],
    lock: Stages,
    files: list[str],
    cached: set[str],
) -> Iterator[str]:
    """What DVC says of a stage's command, inputs and outputs, and what it does not compare: what
    one stage made with what the next one read. cached: outputs that git does not hold."""
    makers, changed = makers_of(lock), dict[str, dict[str, Any]]()
    for entry in told:
        if isinstance(entry, str):
            yield "its command, or what it reads and writes, is another in dvc.yaml"
        else:
            changed |= entry
    deps = {p: how for p, how in changed.get("changed deps", {}).items() if isinstance(how, str)}
    here = [p for p, how in deps.items() if how != "deleted" or not sources_of(p, makers)]
    made = {out["path"]: out.get("md5") for own in lock.values() for out in own.get("outs", [])}
    read = digests(lock[name], "deps")
    unread = [path for path, md5 in read.items() if path in made and made[path] != md5]
    yield from of_inputs(dict.fromkeys((*here, *unread)), makers, files)
    outs = changed.get("changed outs", {})
    edited = [path for path, how in outs.items() if how in ("modified", "new")]
    if edited:
        yield f"edited by hand, or made by another run: {first_few(edited)}"
    missing = [path for path in outs if path not in edited]
    lost = [path for path in missing if path not in cached]
    if lost:
        yield f"missing: {first_few(lost)}"
    state.absent += [path for path in missing if path not in lost]


def _follow(states: Mapping[str, State], before: Mapping[str, Iterable[str]]) -> None:
    """Mark what comes after a stale stage, with the nearest stale ones before it."""
    found = True
    while found:
        found = False
        for name, state in states.items():
            stale = [other.partition("@")[0] for other in before[name] if states[other].stale]
            follows = [*dict.fromkeys(stale)]
            found = found or follows != state.follows
            state.follows = follows


def read_lock(path: Path) -> dict[str, Any]:
    """The stages of dvc.lock; none where there is no such file."""
    if not path.is_file():
        return {}
    held = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
    stages: dict[str, Any] = held.get("stages", {})
    return stages


def files_since_lock(folder: Path) -> list[str]:
    """The files that changed since dvc.lock was last committed, committed or not; those that git
    does not know yet too."""
    last = lines_of(folder, "log", "-1", "--format=%H", "--", str(LOCK))
    changed = lines_of(folder, "diff", "--name-only", "--no-renames", last[0]) if last else []
    return [*changed, *lines_of(folder, "ls-files", "-o", "--exclude-standard")]


if __name__ == "__main__":
    run(main)
