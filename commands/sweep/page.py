"""A sweep as one page in Markdown: a row a setting, and below it the settings seed by seed."""

from collections import Counter
from collections.abc import Iterator, Sequence

from commands.review.reasons import in_code, value
from commands.sweep.experiments import FROZEN
from commands.sweep.pooling import FEWEST_SEEDS, VARIANT, Setting, differences_from
from pipeline.reporting.markdown import drawn, said
from pipeline.reporting.short_headline import MEANT, RATIO

ONE_SEED = (
    "Every setting has one seed, so there is no interval over seeds: what is apart may be so by "
    "chance. Run each with more (`-S seed=1`)."
)
SOME_ONE_SEED = "A setting with one seed has no interval over seeds; it may be apart by chance."
EXPLAINED = (
    "Means over seeds. In brackets: 95 % over texts, of one run, averaged; after `seeds`: 95 % of "
    "the mean over seeds, by Student's t. Bold: both leave out 0. *best frozen* is what the best "
    "probe of the untouched model reads: the probe's columns say how far the finetune's is above "
    "it."
)
SEED_BY_SEED = (
    "Over the seeds that both have; in brackets 95 % by Student's t. Bold: clear, corrected for "
    "all of this table (Holm)."
)


def page_of(
    settings: Sequence[Setting],
    reference: Setting,
    numbers: Sequence[str],
    left_out: Sequence[str],
) -> str:
    """The page; it speaks of those numbers that some run has."""
    runs = sum(len(own.runs) for own in settings)
    seeds = sorted({seed for own in settings for seed in own.runs})
    titles = titles_of(settings)
    parts = [
        f"## Sweep: {_several(len(settings), 'setting')}, {_several(runs, 'run')}, "
        f"{_several(len(seeds), 'seed')}",
        means(settings, titles, numbers),
        *remarks(settings),
        "\n".join(meant(numbers)),
        *paired(settings, reference, titles, numbers),
    ]
    if left_out:
        parts.append("\n".join(f"- left out: {line}" for line in left_out))
    return "\n\n".join(parts)


def means(settings: Sequence[Setting], titles: dict[str, str], numbers: Sequence[str]) -> str:
    """A row a setting: its numbers, and the best frozen probe beside those of probes."""
    columns = [column for name in numbers for column in (*_frozen(name), name)]
    rows = [
        [*varied_cells(own, titles), str(len(own.runs)), *(_cell(own, name) for name in columns)]
        for own in settings
    ]
    named = {frozen: f"best frozen, `{name}`" for name, frozen in FROZEN.items()}
    heads = [named.get(name, f"`{name}`") for name in columns]
    return drawn([*map(in_code, titles.values()), "seeds", *heads], rows)


def _frozen(number: str) -> list[str]:
    return [FROZEN[number]] if number in FROZEN else []


def _cell(own: Setting, name: str) -> str:
    estimate = own.estimate(name)
    if estimate is None:
        return ""
    if "low" not in estimate:
        return f"{estimate['value']:.3f}"
    sign = "+" if name in MEANT and name != RATIO else ""
    return said(estimate, sign, short=name != RATIO, band="seeds_low" in estimate)


def remarks(settings: Sequence[Setting]) -> Iterator[str]:
    yield EXPLAINED
    alone = [len(own.runs) < FEWEST_SEEDS for own in settings]
    if any(alone):
        yield ONE_SEED if all(alone) else SOME_ONE_SEED


def meant(numbers: Sequence[str]) -> Iterator[str]:
    for name in numbers:
        yield f"- `{name}`: {MEANT[name].label}: {MEANT[name].says}; {MEANT[name].better} is better"


def paired(
    settings: Sequence[Setting],
    reference: Setting,
    titles: dict[str, str],
    numbers: Sequence[str],
) -> Iterator[str]:
    """The settings minus the reference, if there are others that share two seeds with it."""
    found = differences_from(reference, settings, numbers)
    if not found:
        return
    yield f"### Seed by seed, minus {in_code(label_of(reference, titles))}"
    rows = [
        [*varied_cells(own, titles), *(said(found.get((index, name), {}), "+", band=False)
                                for name in numbers)]
        for index, own in enumerate(settings) if own is not reference
    ]  # fmt: skip
    yield drawn([*map(in_code, titles.values()), *map(in_code, numbers)], rows)
    yield SEED_BY_SEED


def titles_of(settings: Sequence[Setting]) -> dict[str, str]:
    """What is varied, by dotted name, with the shortest ending that no other one has."""
    names = [*dict.fromkeys(name for own in settings for name in own.values)]
    ends = Counter(name.rpartition(".")[2] for name in names)
    return {n: end if ends[end := n.rpartition(".")[2]] == 1 else n for n in names}


def varied_cells(own: Setting, titles: dict[str, str]) -> list[str]:
    return [value(own.values[name]) if name in own.values else "" for name in titles]


def label_of(own: Setting, titles: dict[str, str], joint: str = ", ") -> str:
    """A setting in words: `learning_rate 0.001, target_layers [2]`."""
    parts = [
        shown if name == VARIANT else f"{titles[name]} {shown}"
        for name, entry in own.values.items()
        for shown in [value(entry).strip("`")]
    ]
    return joint.join(parts) or "all runs"


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
