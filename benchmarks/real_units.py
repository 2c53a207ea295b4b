"""The units of benchmarks/real_models.py in their order, and the settings that are tried."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from benchmarks.real_corpora import FOLDS
from pipeline.core.sections import Position, Variant


@dataclass(frozen=True)
class Setting:
    """What the finetune's settings are chosen among."""

    layers: tuple[int, ...]
    positions: tuple[Position, ...]
    states: Literal["raw", "standardised"]
    learning_rate: float
    steps: int
    dropout: float = 0.0
    half: bool = False  # trained on half of the training prompts

    def at_depth(self, share: float) -> "Setting":
        return replace(self, layers=tuple(round(layer * share) for layer in self.layers))


OURS = "true_negatives"
# Settings that validation texts of fold 0 of BeaverTails choose among.
CANDIDATES = {
    "raw": Setting((20,), ("last",), "raw", 2e-3, 150),
    "last": Setting((20,), ("last",), "standardised", 2e-3, 150),
    "mean": Setting((20,), ("mean",), "standardised", 2e-3, 150),
    "both": Setting((20,), ("last", "mean"), "standardised", 2e-3, 150),
    "two_layers": Setting((15, 25), ("last", "mean"), "standardised", 1e-3, 150),
    "last_long": Setting((20,), ("last",), "standardised", 1e-3, 300),
}
# What differs from the chosen one in those that are tried after the primary was missed.
REMEDIES: dict[str, dict[str, Any]] = {
    "short": {"steps": 100},
    "dropout": {"dropout": 0.1},
    "halves": {"half": True},
}
# The probes of a remedy's unit, by the texts that they are fitted on.
UNSEEN = "probe_of_unseen"
PROBES = {"probe": "all training texts", UNSEEN: "those of the other half"}
CHOSEN = f"smollm2-beavertails-{OURS}-0"  # the unit whose probes remedies are to beat
MOST_KL = 0.05  # nats per token that a setting may cost on validation texts, if any costs less


@dataclass(frozen=True)
class Unit:
    """One piece of work. kind: what is done; needs: the units whose files it reads."""

    kind: str
    model: str
    corpus: str
    variant: str
    fold: int
    needs: tuple[str, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        return f"{self.model}-{self.corpus}-{self.variant}-{self.fold}"


def units() -> Iterator[Unit]:
    """All units, those that tell most for their time first."""
    model, corpus = "smollm2", "beavertails"
    yield from _untouched(model, corpus, range(FOLDS))
    chosen = []
    for name in CANDIDATES:
        unit = Unit("setting", model, corpus, f"setting_{name}", 0)
        chosen.append(unit.name)
        yield unit
    needs = tuple(chosen)

    def tuned(model: str, corpus: str, variants: tuple[str, ...], fold: int) -> Iterator[Unit]:
        for variant in variants:
            yield Unit("tuned", model, corpus, variant, fold, needs)

    main = ("shuffled", "nt_xent", "fixed_direction", "infonce")
    for fold in range(FOLDS):
        yield from tuned(model, corpus, (OURS,), fold)
    remedies = []
    for name in REMEDIES:
        unit = Unit("remedy", model, corpus, f"remedy_{name}", 0, needs)
        remedies.append(unit.name)
        yield unit
    for fold in range(FOLDS):
        yield Unit("remedied", model, corpus, "remedied", fold, (*needs, CHOSEN, *remedies))
    for fold in range(3):
        yield from tuned(model, corpus, main, fold)
    for other in ("mmlu", "math"):
        yield from _untouched(model, other, range(3))
        for fold in range(3):
            yield from tuned(model, other, (OURS, "shuffled", "nt_xent"), fold)
    yield from _untouched("gemma3", corpus, range(2))
    for fold in range(2):
        yield from tuned("gemma3", corpus, (OURS, "shuffled"), fold)
    yield Unit("selfie", model, corpus, "selfie_base", 0, needs)
    read = f"{model}-{corpus}-{OURS}-0"
    yield Unit("selfie", model, corpus, f"selfie_{OURS}", 0, (*needs, read))
    yield from tuned(model, corpus, ("supcon", "length", "sft", "sft_contrast"), 0)
    for fold in range(3, FOLDS):
        yield from tuned(model, corpus, main, fold)


def _untouched(model: str, corpus: str, folds: range) -> Iterator[Unit]:
    for fold in folds:
        yield Unit("words", model, corpus, "words", fold)
        yield Unit("base", model, corpus, "base", fold)
    yield Unit("random", model, corpus, "random_weights", 0)


def variant_of(name: str, steps: int) -> Variant:
    """The row of a variant: losses without labels on random pairs, others on balanced ones."""
    contrast = {"shuffled": "true_negatives", "length": "true_negatives", "sft": "none"}
    contrast["sft_contrast"] = "true_negatives"
    weight = 0.0 if name == "sft" else 1.0
    return Variant.model_construct(
        steps=steps,
        contrast=contrast.get(name, name),
        sampling="random" if name in ("infonce", "sft") else "balanced",
        labels=name if name in ("shuffled", "length") else "given",
        contrast_weight=weight,
        retain_weight=weight,
        penalty_weight=3 * weight,
        response_weight=1.0 if name.startswith("sft") else 0.0,
    )


def best_of(tried: Mapping[str, Mapping[str, Any]]) -> str:
    """The candidate to go on with, of units by their candidate's name."""

    def worth(name: str) -> tuple[bool, float, float]:
        unit = tried[name]
        cost = unit["kl_held_out"]
        return (cost <= MOST_KL, unit["probe"]["best_validation"], -cost)

    return max(tried, key=worth)


def best_remedy(
    tried: Mapping[str, Mapping[str, Any]], chosen: Mapping[str, Any]
) -> tuple[str, str] | None:
    """The remedy, of units by their remedy's name, and which of its probes does best on validation
    texts; None if the unit of the chosen setting, on the same fold, does as well."""
    worth = {(name, probe): own[probe]["best_validation"]
             for name, own in tried.items() for probe in PROBES if probe in own}  # fmt: skip
    best = max(worth, key=lambda option: worth[option])
    return best if worth[best] > chosen["probe"]["best_validation"] else None
