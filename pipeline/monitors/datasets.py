"""What one variant's monitors are fitted and scored on: which texts, at which position, and what
they are asked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from pipeline.core.records import HEADLINE, Request
from pipeline.core.representations import Labels, Representations, Vectors
from pipeline.core.sections import Reading
from pipeline.evaluation.bootstrap import Counts, draw_prompts
from pipeline.monitors.answer_states import AnswerStates
from pipeline.monitors.classifiers import MULTILAYER, NEURONS, all_layers_at, new_monitors
from pipeline.monitors.metrics import is_asked, questions_of

HARMFUL, SAFE = "harmful", "safe"


@dataclass(frozen=True)
class Texts:
    """What a monitor reads of texts [N, D], the class that each has [N], and its id [N]."""

    vectors: Vectors
    labels: Labels
    ids: Labels

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, kept: NDArray[np.bool_]) -> "Texts":
        """The texts [N] that are kept."""
        return Texts(self.vectors[kept], self.labels[kept], self.ids[kept])


@dataclass(frozen=True)
class VariantTexts:
    """What one variant's monitors are fitted and scored on.

    prompts: of every text and request, by its id. safe: the harmless concepts. pooled: what each
    probe of all tokens says of every text, by its id. judged: the probability of harm of every
    text, by a judge that is no part of the model; empty without one.
    prompts_alone: sets of which prompts alone are read: at their end, or by probes of all tokens.
    """

    variant: str
    base: Mapping[str, str]
    stored: Representations
    streams: AnswerStates
    pooled: Mapping[str, Mapping[str, float]]
    judged: Mapping[str, float]
    requests: Mapping[str, Request]
    prompts: Mapping[str, str]
    safe: tuple[str, ...]
    reading: Reading
    seed: int
    prompts_alone: frozenset[str] = frozenset()

    @property
    def questions(self) -> tuple[str, ...]:
        return questions_of(self._learned, self.safe)

    def of(self, question: str, kind: str, split: str, position: str = "") -> Texts:
        """A split's texts at a position, by default the one that is read."""
        position = position or self.reading.position
        vectors, concepts = self.stored.at(self.reading.layer, position, split)
        if kind in (MULTILAYER, NEURONS):
            vectors = all_layers_at(self.stored, position, split)
        labels = np.where(np.isin(concepts, self.safe), SAFE, HARMFUL)
        ids = np.array(self.stored.ids)[np.array(self.stored.splits) == split]
        if kind in self.pooled:
            vectors = np.array([[self.pooled[kind][name]] for name in ids]).reshape(-1, 1)
        return Texts(vectors, concepts if question == "concept" else labels, ids)

    def asked(self) -> Iterator[tuple[str, Texts]]:
        """Requests at their prompt's end, by framing and split: the state before any token of an
        answer, which all answers to a request share."""
        first = {name: number for number, name in reversed(list(enumerate(self.streams.ids)))
                 if name in self.requests}  # fmt: skip
        groups: dict[str, list[str]] = {}
        for name in sorted(first):
            groups.setdefault(self.requests[name].group, []).append(name)
        for group, names in sorted(groups.items()):
            states = self.streams.at("last", [first[name] for name in names])
            labels = [HARMFUL if self.requests[name].harmful else SAFE for name in names]
            ends = np.stack([own[0] for own in states])
            yield group, Texts(ends, np.array(labels), np.array(names))

    def new_monitors(self) -> dict[str, ClassifierMixin]:
        texts = self.of("concept", HEADLINE, "train")
        return new_monitors(min(self.reading.neighbours, len(texts)), self.seed)

    def counts(self, ids: Iterable[str]) -> Counts:
        """Resamples of texts by prompt, the same for every variant."""
        prompts = tuple(self.prompts[name] for name in ids)
        return _resamples(prompts, self.reading.resamples, self.seed)

    def held_out(self, question: str, kind: str, position: str = "") -> dict[str, Texts]:
        """Of every split that is scored at a position, the texts that the question is asked of."""
        at_end, found = (position or self.reading.position) == "prompt_end", {}
        for split in self.stored.scored():
            if split in self.prompts_alone and not at_end and kind not in self.pooled:
                continue
            concepts = self.of("concept", HEADLINE, split).labels
            asked = [is_asked(question, concept, self._learned) for concept in concepts]
            texts = self.of(question, kind, split, position).where(np.array(asked, bool))
            if len(texts):
                found[split] = texts
        return found

    @cached_property
    def _learned(self) -> frozenset[str]:
        return frozenset(self.of("concept", HEADLINE, "train").labels)


@lru_cache(maxsize=32)
def _resamples(prompts: tuple[str, ...], number: int, seed: int) -> Counts:
    return draw_prompts(prompts, number, seed)
