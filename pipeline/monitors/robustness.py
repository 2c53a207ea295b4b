"""What attacks leave of monitors: how much harm is still found, and how it ranks.

The attacker changes harmful prompts alone: thresholds are those of untouched validation texts, and
safe test texts are untouched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.core.files import KeyPath, Tree, whole
from pipeline.core.records import UNATTACKED, AttackedPrompt, AttackScore, Example, ReadWords
from pipeline.core.representations import Flags, Vectors
from pipeline.core.sections import Reading
from pipeline.evaluation.against_base import metrics_tree, under
from pipeline.evaluation.bootstrap import draw_prompts, resampled_mean
from pipeline.evaluation.intervals import Statistic, estimate
from pipeline.monitors.metrics import Measures, ranking_measures, share_within
from pipeline.monitors.text_baseline import NGRAMS, new_classifier
from pipeline.monitors.thresholds import Thresholds, choose_thresholds

Logits = Mapping[str, float]  # of the probability of harm, by text
CurveRow = tuple[int, str, float, float, float]  # passes, variant, value, low, high


@dataclass(frozen=True)
class AttackedTexts:
    """What monitors of attacked prompts are measured on: validation texts, the harmful test texts
    that were attacked, and safe ones that nobody touched. safe: the harmless concepts."""

    validation: Sequence[Example]
    attacked: Sequence[Example]
    untouched: Sequence[Example]
    safe: tuple[str, ...]
    reading: Reading
    seed: int

    def thresholds(self, logits: Logits) -> Thresholds:
        """Of a monitor, by what it says of validation texts."""
        harmful = np.array([e.concept not in self.safe for e in self.validation], bool)
        known = values_of_texts(logits, self.validation)
        return choose_thresholds(harmful, known, self.reading.false_alarms)

    def measures(self, logits: Logits, cuts: Thresholds) -> Measures:
        """auroc of attacked prompts against safe ones, and tpr_at_RATE, the share of them that is
        found where so many of these safe prompts raise an alarm; tpr_for_RATE and fpr_for_RATE, the
        share of attacked and of safe prompts from a threshold on; `logit`, the mean of the
        attacked."""
        texts = [*self.attacked, *self.untouched]
        harmful: Flags = np.arange(len(texts)) < len(self.attacked)
        counts = draw_prompts((e.prompt for e in texts), self.reading.resamples, self.seed)
        found = values_of_texts(logits, texts)
        ranked = ranking_measures([(harmful, found)], counts)
        return {
            **{name: ranked[name] for name in ranked if name == "auroc" or "tpr_at" in name},
            "logit": Statistic(resampled_mean(found[harmful], counts[:, harmful])),
            **{
                f"{name}_for_{rate}": share_within(found >= cut, kind, counts)
                for rate, cut in cuts.for_rates.items()
                for name, kind in (("tpr", harmful), ("fpr", ~harmful))
            },
        }


@dataclass
class Robustness:
    """What is left of one variant's monitors: measures on resamples [R] by monitor, attack and
    number, under `change` how far the attack has moved each, and thresholds by monitor."""

    measures: dict[KeyPath, Statistic] = field(default_factory=dict)
    thresholds: dict[str, Thresholds] = field(default_factory=dict)

    def as_tree(self, base: "Robustness | None") -> Tree:
        """With intervals, and differences from the untouched model where it met the same attack."""
        before = base.measures if base else {}
        tree = metrics_tree(self.measures, before, has_difference=lambda path: path in before)
        for monitor, cuts in self.thresholds.items():
            named = {f"threshold_for_{rate}": cut for rate, cut in cuts.for_rates.items()}
            tree[monitor].update(named)
        return tree


def robustness(texts: AttackedTexts, variant: str, scores: Iterable[AttackScore]) -> Robustness:
    """What a variant's monitors say of prompts before and after attacks. One that was made on
    another variant is `ATTACK_of_VARIANT`."""
    logits: dict[str, dict[str, dict[str, float]]] = {}
    for score in scores:
        attack = score.attack if score.of == variant else f"{score.attack}_of_{score.of}"
        logits.setdefault(score.monitor, {}).setdefault(attack, {})[score.text] = score.logit
    found = Robustness()
    for monitor, by_attack in logits.items():
        before = by_attack[UNATTACKED]
        cuts = found.thresholds[monitor] = texts.thresholds(before)
        clean = texts.measures(before, cuts)
        found.measures |= under((monitor, UNATTACKED), clean)
        for attack, own in by_attack.items():
            if attack != UNATTACKED:
                after = {
                    name: measure
                    for name, measure in texts.measures({**before, **own}, cuts).items()
                    if not name.startswith("fpr")  # safe prompts are as they were
                }
                change = {name: measure - clean[name] for name, measure in after.items()}
                found.measures |= under((monitor, attack), after)
                found.measures |= under((monitor, attack, "change"), change)
    return found


def scores_of_words(
    texts: AttackedTexts,
    train: Sequence[Example],
    read: Iterable[ReadWords],
    attacked: Sequence[AttackedPrompt],
    variant: str,
) -> list[AttackScore]:
    """What TF-IDF with logistic regression, of words and of characters, says of the same prompts,
    after attacks that were made on a monitor of hidden states."""
    words = {own.id: own.prompt for own in read}
    prompts = {text.id: words[text.id] for part in (texts.validation, texts.attacked,
                                                    texts.untouched) for text in part}  # fmt: skip
    shown = [(text, UNATTACKED, prompt) for text, prompt in prompts.items()]
    shown += [(own.text, own.attack, own.prompt) for own in attacked]
    harmful = [example.concept not in texts.safe for example in train]
    found = []
    for ending, kind in NGRAMS.items():
        classifier = new_classifier(kind).fit([words[e.id] for e in train], harmful)
        logits = classifier.decision_function([prompt for _, _, prompt in shown])
        found += [
            AttackScore(text, f"words{ending}", attack, variant, 0, float(logit))
            for (text, attack, _), logit in zip(shown, logits, strict=True)
        ]
    return found


def attack_curves(
    texts: AttackedTexts, variant: str, steps: Iterable[AttackScore]
) -> dict[str, list[CurveRow]]:
    """The mean logit of harm of the attacked prompts after so many passes, by `ATTACK_MONITOR`."""
    logits: dict[str, dict[int, dict[str, float]]] = {}
    for step in steps:
        name = f"{step.attack}_{step.monitor}"
        logits.setdefault(name, {}).setdefault(step.passes, {})[step.text] = step.logit
    prompts = [example.prompt for example in texts.attacked]
    curves: dict[str, list[CurveRow]] = {}
    for name, by_passes in logits.items():
        counts = draw_prompts(prompts, texts.reading.resamples, texts.seed)
        for passes, own in sorted(by_passes.items()):
            mean = estimate(resampled_mean(values_of_texts(own, texts.attacked), counts))
            row = (passes, variant, mean.value, mean.low, mean.high)
            curves.setdefault(name, []).append(row)
    return curves


def write_attack_curves(folder: Path, curves: Mapping[str, Sequence[CurveRow]]) -> None:
    """A table for each attack on each monitor, NAME.csv, for `dvc plots`."""
    with whole(folder) as draft:
        draft.mkdir()
        for name, rows in curves.items():
            lines = ["passes,variant,value,low,high"]
            lines += [f"{p},{v},{m:.6g},{low:.6g},{high:.6g}" for p, v, m, low, high in rows]
            (draft / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def values_of_texts(logits: Logits, texts: Sequence[Example]) -> Vectors:
    return np.array([logits[example.id] for example in texts], float)
