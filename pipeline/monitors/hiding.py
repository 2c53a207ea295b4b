"""What a monitor of harm still finds on a model that was trained further, or whose adapter was
taken away: the monitor that was fitted before, left as it is, and one that is fitted anew.

Thresholds of the first are those that validation texts chose before; of the second, those that
they choose on the model as it is now.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from pipeline.core.files import KeyPath
from pipeline.core.records import HEADLINE, Example
from pipeline.core.representations import Representations, Vectors
from pipeline.core.scored_sets import prompts_alone
from pipeline.core.sections import Reading
from pipeline.evaluation.against_base import Resampled, under
from pipeline.evaluation.bootstrap import Counts, draw_prompts
from pipeline.evaluation.intervals import Statistic
from pipeline.evaluation.linear_probe import fit_probe, linear_map, new_logistic
from pipeline.evaluation.separation import separation
from pipeline.monitors.classifiers import fit
from pipeline.monitors.datasets import HARMFUL, SAFE, Texts
from pipeline.monitors.fitted import Fitted
from pipeline.monitors.metrics import questions_of

BEFORE, UNTUNED = "before", "without_adapter"
FROZEN, REFITTED, STATES = "frozen", "refitted", "states"
OF_HARM = ("auroc", "tpr_", "fpr_")  # how the measures begin that are kept of a monitor
SEPARATION = ("silhouette", "centroid_accuracy")


def read_texts(examples: Sequence[Example], position: str, safe: Collection[str]) -> list[Example]:
    """The texts that are read at a position before and after; none where training or validation
    texts are not of both kinds, harmful and safe."""
    for split in ("train", "validation"):
        found = {example.concept for example in examples if example.split == split}
        if "harm" not in questions_of(found, safe):
            return []
    left = prompts_alone(examples) if position != "prompt_end" else frozenset()
    return [example for example in examples if example.split not in left]


def harm_texts(
    stored: Representations, split: str, reading: Reading, safe: Collection[str]
) -> Texts:
    """A split's texts where `reading` reads them, each harmful or safe."""
    vectors, concepts = stored.at(reading.layer, reading.position, split)
    labels = np.where(np.isin(concepts, [*safe]), SAFE, HARMFUL)
    return Texts(vectors, labels, np.array(stored.ids_of(split)))


def fit_harm(stored: Representations, reading: Reading, safe: Collection[str]) -> Fitted:
    """The headline monitor of harm, as the stage `monitors` fits it."""
    train, known = (harm_texts(stored, split, reading, safe) for split in ("train", "validation"))
    monitor = fit(new_logistic(), train.vectors, train.labels)
    fitted = Fitted("harm", HEADLINE, reading.position, monitor)
    return fitted.with_thresholds(
        known.labels == HARMFUL, fitted.harm(known.vectors), reading.false_alarms
    )


def harm_logit(fitted: Fitted, texts: Texts) -> tuple[Vectors, float, float, float]:
    """A fitted monitor as weights [D] and offset of its logit of harm, and the mean logits that
    safe and harmful texts have."""
    centre, weights, bias = linear_map(fitted.monitor)
    sign = 1 if list(fitted.monitor.classes_) == [SAFE, HARMFUL] else -1  # the first one scores 0
    along = sign * weights[1]
    offset = float(sign * bias[1] - along @ centre)
    logits = texts.vectors @ along + offset
    means = (float(logits[texts.labels == kind].mean()) for kind in (SAFE, HARMFUL))
    return along, offset, *means


def hiding_measures(
    before: Representations,
    after: Mapping[str, Representations],
    prompts: Mapping[str, str],
    safe: Collection[str],
    reading: Reading,
    seed: int,
    untuned: Representations | None = None,
) -> Resampled:
    """Measures on resamples by (state of the model, monitor, split, name), `states` being how far
    concepts part; and under `change`, how far each is from what it was before, paired text by text.

    after: the states of the same texts once the model was trained for a goal, by its name.
    prompts: of every text, by its id; resamples are drawn by prompt. untuned: the states that the
    texts have without the finetune's adapter, which whoever has the weights may take away.
    """
    counts = {}
    for split in before.scored():
        drawn = (prompts[name] for name in before.ids_of(split))
        counts[split] = draw_prompts(drawn, reading.resamples, seed)
    frozen = fit_harm(before, reading, safe)
    found: dict[KeyPath, Statistic] = {}

    def measure(when: str, monitor: str, fitted: Fitted, stored: Representations) -> None:
        for split, own in counts.items():
            texts = harm_texts(stored, split, reading, safe)
            measures = fitted.measure(texts, own)
            kept = {name: value for name, value in measures.items() if name.startswith(OF_HARM)}
            found.update(under((when, monitor, split), kept))

    measure(BEFORE, FROZEN, frozen, before)
    found |= _separation(BEFORE, before, reading, counts, seed)
    for goal, stored in after.items():
        measure(goal, FROZEN, frozen, stored)
        measure(goal, REFITTED, fit_harm(stored, reading, safe), stored)
        found |= _separation(goal, stored, reading, counts, seed)
    if untuned:
        measure(UNTUNED, FROZEN, frozen, untuned)
    changes: dict[KeyPath, Statistic] = {}
    for path, value in found.items():
        when, monitor, *rest = path
        if when != BEFORE:
            was = found[(BEFORE, STATES if monitor == STATES else FROZEN, *rest)]
            changes["change", *path] = value - was
    return found | changes


def _separation(
    when: str,
    stored: Representations,
    reading: Reading,
    counts: Mapping[str, Counts],
    seed: int,
) -> dict[KeyPath, Statistic]:
    """How far concepts part in held-out texts of the corpus itself."""
    train = stored.at(reading.layer, reading.position, "train")
    probe, found = fit_probe(*train), dict[KeyPath, Statistic]()
    for split in stored.held_out():
        texts = stored.at(reading.layer, reading.position, split)
        parted = separation(train, texts, probe, reading.neighbours, counts[split], seed)
        kept = {name: parted.resampled[name] for name in SEPARATION}
        found |= under((when, STATES, split), kept)
    return found
