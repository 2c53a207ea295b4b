"""Compare finished experiments, seeds pooled, with intervals: `legible-sweep`.

    legible-sweep                       the experiments of this commit, and the commit itself
    legible-sweep 'sweep/*' HEAD        branches, tags, commits or experiments, by name or pattern
    legible-sweep --variants infonce supcon true_negatives --numbers probe silh ppl

Writes a table and a picture into a folder, and prints the table. It reads git alone: no run is
needed, and no DVC cache.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from commands.sweep.experiments import Experiment, experiments_of, read_points
from commands.sweep.page import page_of
from commands.sweep.picture import sweep_picture
from commands.sweep.pooling import Setting, pooled_settings
from pipeline.core.console import InputError, run
from pipeline.core.files import whole
from pipeline.reporting.picture_files import write_figures
from pipeline.reporting.short_headline import MEANT, RATIO
from pipeline.reporting.style import style

SHOWN = ("probe", "novel", "shifted", RATIO)
OUT = Path("work/sweep")


def main() -> None:
    options = _options()
    print(write_sweep(Path.cwd(), options))


def command() -> None:
    """The console script: an InputError is one line, as for a stage."""
    run(main)


def write_sweep(folder: Path, options: argparse.Namespace) -> str:
    """Write the page and its picture; returns the page. Raises InputError where nothing can be
    compared."""
    experiments = experiments_of(folder, options.revisions, every=options.all)
    against = experiments[0]
    if options.against:
        against = experiments_of(folder, [options.against], every=True)[-1]
        experiments = [*{one.commit: one for one in (*experiments, against)}.values()]
    points, left_out = read_points(folder, experiments, options.variants)
    if not points:
        raise InputError(f"no run has results to compare: {'; '.join(left_out)}")
    settings, doubled = pooled_settings(points)
    reference = reference_of(settings, against)
    numbers = [n for n in options.numbers if any(own.estimate(n) for own in settings)]
    if not numbers:
        raise InputError(f"no run has any of the numbers {', '.join(options.numbers)}")
    text = page_of(settings, reference, numbers, [*left_out, *doubled])
    with style():
        picture = sweep_picture(settings, numbers)
        write_figures(folder / options.out, {"sweep": picture})
    with whole(folder / options.out / "sweep.md") as draft:
        draft.write_text(f"{text}\n\n![{picture.alt}](light/sweep.svg)\n", encoding="utf-8")
    return text


def reference_of(settings: Sequence[Setting], experiment: Experiment) -> Setting:
    """The setting that an experiment is a run of; the first one where it is left out."""
    return next(
        (
            own
            for own in settings
            if any(point.experiment.commit == experiment.commit for point in own.runs.values())
        ),
        settings[0],
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="legible-sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("revisions", nargs="*", help="experiments, branches, tags or commits")
    parser.add_argument("--all", action="store_true", help="experiments of other commits too")
    parser.add_argument("--against", default="", help="the one whose setting others are held to")
    parser.add_argument("--variants", nargs="+", default=[], help="default: the headline's")
    parser.add_argument("--numbers", nargs="+", default=[*SHOWN], choices=[*MEANT], help="columns")
    parser.add_argument("--out", type=Path, default=OUT, help="a folder for table and picture")
    return parser.parse_args()


if __name__ == "__main__":
    command()
