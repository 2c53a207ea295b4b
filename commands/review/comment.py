"""One comment that reviews this working tree against a base, in Markdown, ready to paste.

Params that differ, the short headline with each change held against the band over seeds and the
intervals over texts, which stages ran again and why, and the pictures that changed. All of it
stands in git: nothing is run, and no DVC cache is needed.

    make review BASE=main
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from commands.review.judging import JudgedChange, judged
from commands.review.reasons import first_few, grouped, in_code, leaves, value, why_again
from commands.review.sides import (
    Version,
    changed_files,
    common_commit,
    extract_commit,
    known_seeds,
    pictures,
    read_params,
    side_of,
)
from commands.review.status import how_many_stale, read_lock, stage_states
from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import SEED_VALUES
from pipeline.core.presets import PARAMS
from pipeline.core.reproduce import LOCK
from pipeline.reporting.glossary import MEANINGS
from pipeline.reporting.markdown import drawn
from pipeline.reporting.seed_band import SeedValues
from pipeline.reporting.short_headline import BASE, MEANT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", default="main", help="a branch, tag or commit to compare with")
    print(comment(Path.cwd(), parser.parse_args().base))


def comment(folder: Path, base: str) -> str:
    """The comment on a project's working tree. Raises InputError where git knows no such base."""
    commit = common_commit(folder, base)
    with TemporaryDirectory(prefix="review-") as then:
        extract_commit(folder, commit, Path(then))
        params, former = load_params(folder / PARAMS), read_params(Path(then) / PARAMS)
        seeds = known_seeds(folder, Path(then), [params, former or params])
        before, after = (
            side_of(where, own, seeds)
            for where, own in ((Path(then), former or params), (folder, params))
        )
        again = why_again(
            read_lock(Path(then) / LOCK), read_lock(folder / LOCK), changed_files(folder, commit)
        )
        moved = moved_params(tree_of(Path(then) / PARAMS), tree_of(folder / PARAMS))
    parts = [
        f"## Review against {in_code(base)} ({commit[:7]})",
        *params_part(moved),
        *headline_part(before, after, seeds),
        *stages_part(again, stale_line(folder)),
        *pictures_part(pictures(folder, commit)),
    ]
    return "\n\n".join(parts)


def params_part(moved: Mapping[str, tuple[object, object]]) -> Iterator[str]:
    yield "### Params"
    if not moved:
        yield "None differs."
        return
    rows = [[in_code(name), value(old), value(new)] for name, (old, new) in moved.items()]
    yield drawn(["param", "before", "after"], rows)


def headline_part(before: Version, after: Version, seeds: SeedValues) -> Iterator[str]:
    """The short headline, and below it, folded, every other number that clearly moved."""
    variants = [f"`{side.variant}`" for side in (before, after) if side.variant]
    if not variants:
        yield "### Numbers"
        yield "No finetuned variant is compared: `figures.compared` names only the untouched model."
        return
    yield f"### {', then '.join(dict.fromkeys(variants))} beside `{BASE}`"
    rows = []
    for name, meant in MEANT.items():
        old, new = before.short.get(name), after.short.get(name)
        if old or new:
            found = judged(old, new, meant.better, len(seeds.seeds))
            rows.append([f"`{name}`", f"{meant.label}: {meant.says}", *cells(old, new, found)])
    yield drawn(["", "what it is", "before", "after", "change", "seeds", "texts", ""], rows)
    yield explained(seeds)
    others = list(other_numbers(before, after, seeds))
    if others:
        table = drawn(
            ["variant", "number", "before", "after", "change", "seeds", "texts", ""], others
        )
        yield (
            f"<details><summary>{len(others)} of all headline numbers moved beyond both</summary>"
            f"\n\n{table}\n\n</details>"
        )


def cells(old: Mapping[str, float] | None, new: Mapping[str, float] | None, found: JudgedChange
          ) -> list[str]:  # fmt: skip
    return [
        f"{old['value']:.3f}" if old else "none",
        f"{new['value']:.3f}" if new else "none",
        f"{found.change:+.3f}" if found.change is not None else "",
        found.over_seeds,
        found.over_texts,
        found.mark,
    ]


def explained(seeds: SeedValues) -> str:
    known = (
        f"*seeds*: whether the change is larger than 95 % of those between two honest runs, by "
        f"{len(seeds.seeds)} seeds of {seeds.commit}."
        if seeds.seeds
        else f"*seeds*: unknown, as {SEED_VALUES} is of other params; `make seeds` measures them."
    )
    return f"{known} *texts*: whether the two 95 % intervals over texts are apart."


def other_numbers(before: Version, after: Version, seeds: SeedValues) -> Iterator[list[str]]:
    for variant, row in after.rows.items():
        for number, new in row.items():
            old = before.rows.get(variant, {}).get(number)
            found = judged(old, new, MEANINGS[number].better, len(seeds.seeds))
            if old and found.clear:
                yield [f"`{variant}`", MEANINGS[number].label, *cells(old, new, found)]


def stages_part(again: Mapping[str, Sequence[str]], stale: str) -> Iterator[str]:
    yield "### Stages that ran again"
    if again:
        lines = grouped({name: "; ".join(reasons) for name, reasons in again.items()})
        yield drawn(["stage", "why"], [[f"`{name}`", why] for name, why in lines.items()])
    else:
        yield "None: `dvc.lock` is the base's."
    yield stale


def stale_line(folder: Path) -> str:
    states = stage_states(folder)
    stale = [name for name, state in states.items() if state.stale]
    if not stale:
        return "`dvc.lock` belongs to this code and these params."
    first = first_few(name for name, state in states.items() if state.reasons)
    return (
        f"**Results are stale.** {how_many_stale(len(stale), len(states))} First of all {first}; "
        "`make status` says why."
    )


def pictures_part(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield "### Pictures"
    lines = [f"- {how}: {', '.join(map(in_code, names))}" for how, names in
             found.items() if names]  # fmt: skip
    yield "\n".join(lines) if lines else "None changed."


def moved_params(before: Any, after: Any) -> dict[str, tuple[object, object]]:
    """Every param that differs, by its dotted name."""
    then, now = dict(leaves(before)), dict(leaves(after))
    return {
        ".".join(name): (then.get(name), now.get(name))
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    }


def tree_of(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8")) if path.is_file() else {}


if __name__ == "__main__":
    run(main)
