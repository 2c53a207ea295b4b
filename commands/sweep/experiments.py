"""The finished runs that a sweep compares: experiments of DVC, branches and commits, out of git.

Params and metrics are in git, so no DVC cache is needed, and nothing is run.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from commands.git import lines_of
from commands.review.reasons import leaves
from commands.review.sides import extract_commit, read_params
from pipeline.core.console import InputError, nearest
from pipeline.core.params import Params
from pipeline.core.paths import METRICS
from pipeline.core.presets import PARAMS
from pipeline.reporting.headline import READ_SPLITS, Headline, headline, read_metrics
from pipeline.reporting.seed_band import NO_PART
from pipeline.reporting.short_headline import BASE, short_headline, shown_variant

HEAD = "HEAD"
EXPERIMENTS = "refs/exps"
FROZEN = {short: f"best_frozen_probe{end}" for short, end in
          zip(("probe", "novel", "shifted"), READ_SPLITS, strict=True)}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A commit that has results. base: the commit that an experiment of DVC is made on."""

    name: str
    commit: str
    base: str = ""


@dataclass(frozen=True)
class Point:
    """One variant of one run. params: those that decide its numbers, by dotted name; numbers: the
    short headline, beside the untouched model, and the untouched model's best probe."""

    experiment: Experiment
    variant: str
    seed: int
    params: Mapping[str, object]
    numbers: Headline


def experiments_of(folder: Path, asked: Sequence[str], *, every: bool) -> list[Experiment]:
    """What is compared, the oldest first: what is asked for by name or, of nothing, the last commit
    and the experiments that were made on it. every: and those made on other commits.

    asked: experiments, branches, tags or commits; of the first three also patterns, as `sweep/*`.
    Raises InputError for what git does not know, and where there are no experiments.
    """
    known = [*_experiments(folder)]
    if asked:
        found = [one for name in asked for one in _named(folder, name, known)]
        return [*{one.commit: one for one in found}.values()]
    head = _commit(folder, HEAD)
    if head is None:
        raise InputError("this folder has no commit of git; experiments hang on one")
    own = [one for one in known if every or one.base == head]
    if not own:
        others = f"; --all takes {len(known)} of other commits" if known else ""
        raise InputError(
            f"this commit has no experiments; `dvc exp run -S seed=1` makes one{others}"
        )
    return [Experiment(HEAD, head), *own]


def _experiments(folder: Path) -> Iterator[Experiment]:
    """All that DVC has finished: refs/exps/AB/CDEF.../NAME, made on the commit ABCDEF..."""
    form = "--format=%(objectname) %(refname)"
    for line in lines_of(folder, "for-each-ref", "--sort=committerdate", form, EXPERIMENTS):
        commit, _, ref = line.partition(" ")
        _, _, *parts = ref.split("/", 4)
        if len(parts) == 3 and len(parts[0]) == 2 and len(parts[1]) == 38:
            yield Experiment(parts[2], commit, parts[0] + parts[1])


def _named(folder: Path, name: str, known: Sequence[Experiment]) -> list[Experiment]:
    """The experiments, branches and tags of a name or a pattern, or one commit."""
    refs = lines_of(folder, "for-each-ref", "--sort=committerdate", "--format=%(refname:short)",
                    "refs/heads", "refs/tags", "refs/remotes")  # fmt: skip
    found = [one for one in known if fnmatchcase(one.name, name)]
    names = [ref for ref in refs if fnmatchcase(ref, name)] or ([] if found else [name])
    for ref in names:
        commit = _commit(folder, ref)
        if commit is None:
            spelt = nearest(name, [HEAD, *refs, *(one.name for one in known)])
            raise InputError(f"{name} is no experiment, branch, tag or commit here{spelt}")
        found.append(Experiment(ref, commit))
    return found


def _commit(folder: Path, name: str) -> str | None:
    options = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    return next(iter(lines_of(folder, *options, f"{name}^{{commit}}")), None)


def read_points(
    folder: Path, experiments: Sequence[Experiment], variants: Sequence[str]
) -> tuple[list[Point], list[str]]:
    """Every experiment's variants, or of none the one that its headline is of; and why others are
    left out, a line each."""
    points, left_out = list[Point](), list[str]()
    for one in experiments:
        with TemporaryDirectory(prefix="sweep-") as then:
            extract_commit(folder, one.commit, Path(then), (PARAMS, METRICS))
            params = read_params(Path(then) / PARAMS)
            if params is None:
                left_out.append(f"{one.name} has other knobs than this code")
                continue
            wanted = variants or [name for name in [shown_variant(params.figures.compared)] if name]
            for variant in wanted:
                numbers = _numbers(Path(then) / METRICS, params, variant)
                if numbers:
                    points.append(_point(one, params, variant, numbers))
                else:
                    left_out.append(f"{one.name} has no results of {variant}")
    return points, left_out


def _point(one: Experiment, params: Params, variant: str, numbers: Headline) -> Point:
    return Point(one, variant, params.seed, deciding(params, variant), numbers)


def _numbers(metrics: Path, params: Params, variant: str) -> Headline:
    """A variant's numbers; none where it has no results of today's form."""
    reading, asking = params.reading, params.asking
    with suppress(OSError, KeyError):
        base, tuned = (read_metrics(metrics, name) for name in (BASE, variant))
        short = short_headline(base, tuned, reading, asking)
        before = headline(base, reading, asking)
        return short | {name: before[name] for name in FROZEN.values() if name in before}
    return {}


def deciding(params: Params, variant: str) -> dict[str, object]:
    """The params that a variant's numbers depend on, by dotted name, but for the seed: other
    variants have no part in it, and the machine has none."""
    every = params.model_dump(mode="json")
    tree = {name: part for name, part in every.items() if name not in NO_PART}
    tree["variants"] = {variant: tree["variants"].get(variant, {})}
    return {".".join(path): value for path, value in leaves(tree)}
