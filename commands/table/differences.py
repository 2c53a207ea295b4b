"""What differs in method between this run and what was published, computed from params."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from commands.table.measured import OWN_TASKS, Measure
from commands.table.published import Published, PublishedMetric, PublishedSetting
from commands.table.this_run import Results

OF_HUB = "corpora.hub."  # knobs of no consequence where texts come from elsewhere
OF_REQUESTS = {
    "own": "harmful test prompts of this corpus",
    "xstest": "safe prompts of XSTest",
    "salad": "questions of Salad-Bench",
}


def what_differs(
    results: Results, published: Published, chosen: Mapping[str, Measure]
) -> Iterator[str]:
    """A line for each difference. chosen: the measure that is shown of each metric."""
    params, location = results.params, results.params.model.path.location
    if results.published_as(published) is None:
        yield f"**model**: published {_either(published.models)}; here {results.model}"
    if params.model.source == "package" or (
        params.model.source == "path" and location.endswith(".gguf")
    ):
        yield "**quantisation**: published none; here a GGUF file, as it was quantised"
    if params.corpora.source != "hub":
        yield f"**labelled texts**: published BeaverTails; here {_texts(results)}"
    if counts := results.training_texts.values():
        yield (
            f"**training texts that there are**: here {sum(counts)} of {len(counts)} concepts, "
            f"{min(counts)} to {max(counts)} of each"
        )
    for setting in published.settings:
        yield from _of_setting(setting, results)
    for metric in published.metrics:
        if metric.name in chosen:
            yield _of_metric(metric, chosen[metric.name], results)
    for aside in published.asides:
        yield f"**whatever params say**: {aside.text} [{aside.source}]"


def _of_setting(setting: PublishedSetting, results: Results) -> Iterator[str]:
    here = results.knob(setting.knob)
    elsewhere = setting.knob.startswith(OF_HUB) and results.params.corpora.source != "hub"
    if elsewhere or here is None:  # None: of a variant that was taken away
        return
    if here != setting.value:
        note = f" ({setting.note})" if setting.note else ""
        yield (
            f"**{setting.what}**: published {_said(setting.value)}{note} [{setting.source}]; "
            f"here {_said(here)} (`{setting.knob}`)"
        )


def _of_metric(metric: PublishedMetric, measure: Measure, results: Results) -> str:
    here = measure.way
    if measure.stage == "safety":
        found = measure.of(results.trees["base"]) or {}
        here = f"{found['of']:.0f} {OF_REQUESTS[measure.path[2]]}, by {measure.way}"
    if measure.path[0] in OWN_TASKS:
        here = f"{measure.way}; `capability.harness` asks tasks of lm-eval"
    if measure.stage == "monitors":
        reading = results.params.reading
        here = f"held-out texts, by {measure.way} at layer {reading.layer}, {reading.position}"
    return (
        f"**{metric.name}**: published {metric.prompts}; {metric.judged} [{metric.source}]; "
        f"here {here}"
    )


def _texts(results: Results) -> str:
    corpora = results.params.corpora
    if corpora.source == "embedded":
        return f"texts generated here, {corpora.embedded.concepts} (`corpora.source`)"
    return f"the tables of {corpora.csv.folder} (`corpora.source`)"


def _either(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _said(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " and ".join(map(str, value))
    return str(value)
