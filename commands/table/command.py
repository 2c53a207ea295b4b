"""The paper's table: what SEER/TELLME published (arXiv 2502.05242) beside what this run measured.

make table                         # runs what is stale of what it reads, then prints
python -m commands.table.command   # prints what was measured
"""

from collections.abc import Iterator, Mapping, Sequence

from commands.table.differences import what_differs
from commands.table.measured import REMEDIES, Measure, measures
from commands.table.published import Published, PublishedMetric, published
from commands.table.this_run import Results, read_results
from pipeline.core.console import run
from pipeline.reporting.markdown import drawn

Ways = Mapping[str, Sequence[Measure]]  # in which each metric was measured, nearest first


def main() -> None:
    paper = published()
    print(page(paper, read_results(paper)))


def page(paper: Published, results: Results) -> str:
    """The table in Markdown, what is absent from it and why, what differs, and the sources."""
    ways = {
        metric.name: measures(metric.name, results.params, results.trees["base"], results.concepts)
        for metric in paper.metrics
    }
    nearest = {name: found[0] for name, found in ways.items() if found}
    parts = {
        "The paper's table": _table(paper, results, ways),
        "What the rows are": _listed(_meanings(paper)),
        "Absent from this run": _listed(_absent(paper, results, ways)),
        "What differs in method": _listed(what_differs(results, paper, nearest)),
        "Sources": _listed(
            f"[{name}] {source.title}: {source.url}" for name, source in paper.sources.items()
        ),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items() if text)


def _table(paper: Published, results: Results, ways: Ways) -> str:
    known = results.published_as(paper)
    models = [known] if known else list(paper.models)
    header = [
        "%",
        "method",
        f"published: {' / '.join(models)}",
        f"here: {results.model}",
        "measured by",
        "by others",
    ]
    rows = [
        [
            metric.name,
            f"{method} (`{paper.methods[method]}`)",
            metric.of(models, method),
            *_here(results, paper.methods[method], ways[metric.name]),
        ]
        for metric in paper.metrics
        for method in metric.methods
    ]
    return drawn(header, rows)


def _here(results: Results, variant: str, ways: Sequence[Measure]) -> list[str]:
    """The number of the nearest way with its interval, that way, and the numbers of others."""
    trees = results.trees.get(variant)
    if trees is None or not ways:
        return ["absent", "", ""]
    first, *others = ways
    found = first.of(trees)
    beside = [
        f"{other.way} {number['value']:.1f}" for other in others if (number := other.of(trees))
    ]
    return [_with_interval(found) if found else "absent", first.way, "; ".join(beside)]


def _with_interval(found: Mapping[str, float]) -> str:
    value = f"{found['value']:.1f}"
    return f"{value} [{found['low']:.1f}, {found['high']:.1f}]" if "low" in found else value


def _meanings(paper: Published) -> Iterator[str]:
    for metric in paper.metrics:
        yield f"**{metric.name}**: {metric.means}; {metric.better} is better [{metric.source}]"


def _absent(paper: Published, results: Results, ways: Ways) -> Iterator[str]:
    for metric in paper.metrics:
        if not ways[metric.name]:
            yield f"**{metric.name}**: {REMEDIES[metric.name]}"
        else:
            yield from _absent_rows(metric, paper, results, ways[metric.name][0])


def _absent_rows(
    metric: PublishedMetric, paper: Published, results: Results, way: Measure
) -> Iterator[str]:
    for method in metric.methods:
        variant = paper.methods[method]
        if variant not in results.trees:
            yield (
                f"**{metric.name}, {method}**: params.yaml has no variant `{variant}`; put its row "
                "back, as `git diff params.yaml` shows it"
            )
        elif way.of(results.trees[variant]) is None:
            yield f"**{metric.name}, {method}**: not measured of `{variant}`; run `make table`"


def _listed(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def command() -> None:
    run(main)


if __name__ == "__main__":
    command()
