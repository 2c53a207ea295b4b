"""What SEER/TELLME published (arXiv 2502.05242): numbers and settings, each with its source."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.core.sections import Section

PUBLISHED = Path(__file__).with_name("published.toml")
ANY_MODEL = "any model"  # that of numbers whose model is not recorded
Percent = Annotated[float, Field(ge=0, le=100)]


class Citation(Section):
    title: str
    url: Annotated[str, Field(pattern=r"^https://")]


class PublishedMetric(Section):
    """A row of the table for each method. values: per cent, by model and method: of all models and
    methods, or of ANY_MODEL, and then of some."""

    name: str
    means: str
    better: Literal["higher", "lower"]
    prompts: str
    judged: str
    source: str
    values: dict[str, dict[str, Percent]]

    def of(self, models: Iterable[str], method: str) -> str:
        """The method's numbers of models, in words; empty where none was published."""
        if ANY_MODEL in self.values:
            found = self.values[ANY_MODEL].get(method)
            return "" if found is None else f"{found:.1f} (of which model is not recorded)"
        return " / ".join(f"{self.values[model][method]:.1f}" for model in models)

    @property
    def methods(self) -> list[str]:
        """The methods with a number, and the untouched model, beside which each is read."""
        found = dict.fromkeys(method for own in self.values.values() for method in own)
        return list(dict.fromkeys(["Origin", *found]))


class PublishedSetting(Section):
    """knob: the key of params.yaml that says the same; value: what it would be, as published."""

    what: str
    knob: str
    value: Any
    note: str
    source: str


class Aside(Section):
    """A difference in method that no knob says."""

    text: str
    source: str


class Published(Section):
    """models: repositories by the paper's names. methods: variants by the paper's names."""

    sources: dict[str, Citation]
    models: dict[str, str]
    methods: dict[str, str]
    metrics: list[PublishedMetric]
    settings: list[PublishedSetting]
    asides: list[Aside]

    @model_validator(mode="after")
    def names_what_is_there(self) -> "Published":
        for source in self._cited():
            if source not in self.sources:
                raise ValueError(f"no source {source!r}; known: {', '.join(self.sources)}")
        for metric in self.metrics:
            for model in metric.values.keys() - {ANY_MODEL}:
                if model not in self.models:
                    raise ValueError(f"{metric.name}: no model {model!r}")
            for own in metric.values.values():
                if unknown := own.keys() - self.methods.keys():
                    raise ValueError(f"{metric.name}: no method {min(unknown)!r}")
        return self

    def _cited(self) -> Iterator[str]:
        yield from (metric.source for metric in self.metrics)
        yield from (setting.source for setting in self.settings)
        yield from (aside.source for aside in self.asides)


def published(path: Path = PUBLISHED) -> Published:
    """Raises pydantic's ValidationError for a number, a setting or an aside without a source that
    is listed: it is the project's own file."""
    return Published.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
