"""Pretrained models on texts that people wrote: does the finetune help their best probe?

The plan, with what is measured and how it is tested, is benchmarks/results/real_models_plan.md.
Work is done in units, each a variant of a model on one fold of a corpus, in the order of the plan.
A unit's file is written whole, so that a stopped run goes on where it stood; several processes may
run at a time and share the units.

    .venv/bin/python -m benchmarks.real_models --data a/folder --work work/real
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmarks.real_corpora import (
    CORPORA,
    FOLDS,
    other_texts,
    questions_among,
    read_folds,
    split_by,
)
from benchmarks.real_measures import (
    Fold,
    best_probe,
    geometry,
    known_of,
    transported,
    word_probe,
)
from benchmarks.real_selfie import read_states
from benchmarks.real_tuning import PRESETS, Bench, Setting
from pipeline.core.console import InputError, run
from pipeline.core.files import read_json, write_json
from pipeline.core.text_identity import normalised
from pipeline.corpora.rows import digest

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

    main = (OURS, "shuffled", "nt_xent", "fixed_direction", "infonce")
    for fold in range(FOLDS):
        yield from tuned(model, corpus, main, fold)
    for other in ("mmlu", "math"):
        yield from _untouched(model, other, range(3))
        for fold in range(3):
            yield from tuned(model, other, (OURS, "shuffled", "nt_xent"), fold)
    yield Unit("selfie", model, corpus, "selfie_base", 0, needs)
    read = f"{model}-{corpus}-{OURS}-0"
    yield Unit("selfie", model, corpus, f"selfie_{OURS}", 0, (*needs, read))
    yield from tuned(model, corpus, ("supcon", "length", "sft", "sft_contrast"), 0)
    yield from _untouched("gemma3", corpus, range(2))
    for fold in range(2):
        yield from tuned("gemma3", corpus, (OURS, "shuffled"), fold)


def _untouched(model: str, corpus: str, folds: range) -> Iterator[Unit]:
    for fold in folds:
        yield Unit("words", model, corpus, "words", fold)
        yield Unit("base", model, corpus, "base", fold)
    yield Unit("random", model, corpus, "random_weights", 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora's tables")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is computed")
    parser.add_argument("--only", help="units whose names hold this")
    parser.add_argument("--once", action="store_true", help="end after one unit, whose memory a "
                        "process keeps: two that work for hours want 20 GB")  # fmt: skip
    options = parser.parse_args()
    study = Study(options.data, options.work)
    wanted = [unit for unit in units() if not options.only or options.only in unit.name]
    while waiting := [unit for unit in wanted if not study.file_of(unit.name).exists()]:
        if not any(study.tried(unit) for unit in waiting):
            time.sleep(20)  # what is left is at work in other processes, or waits for them
        elif options.once:
            return
    print("every unit is done", flush=True)


@dataclass(frozen=True)
class Study:
    """Where texts are read and units are kept."""

    data: Path
    work: Path

    def file_of(self, name: str) -> Path:
        return self.work / "units" / f"{name}.json"

    def tried(self, unit: Unit) -> bool:
        """Do a unit, unless it is done, at work elsewhere, or waits for others; whether it was."""
        if not all(self.file_of(name).exists() for name in unit.needs):
            return False
        lock = self.work / "locks" / unit.name
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=0):
                if self.file_of(unit.name).exists():
                    return False
                start, cpu = time.time(), time.process_time()
                print(time.strftime("%H:%M:%S"), unit.name, flush=True)
                found = self.done(unit)
                found |= {
                    "unit": vars(unit) | {"needs": list(unit.needs)},
                    "seconds": time.time() - start,
                    "processor_seconds": time.process_time() - cpu,
                }
                write_json(self.file_of(unit.name), found)
                print(time.strftime("%H:%M:%S"), unit.name, line_of(found), flush=True)
                return True
        except Timeout:
            return False

    def done(self, unit: Unit) -> dict[str, Any]:
        folds = read_folds(self.data, unit.corpus)
        fold = Fold(split_by(folds, unit.fold), CORPORA[unit.corpus].safe)
        # What is drawn together by the bootstrap: answers to one prompt.
        prompts = [digest(normalised(e.prompt)) for e in fold.examples if e.split == "test"]
        if unit.kind == "words":
            return {"prompts": prompts, **known_of(fold), "probe": word_probe(fold)}
        others = other_texts(self.data, unit.corpus)
        asked = questions_among(self.data, fold.held_out if unit.corpus == "mmlu" else others)
        bench = Bench(unit.model, self.work, others, asked)
        if unit.kind == "setting":
            setting = CANDIDATES[unit.variant.removeprefix("setting_")]
            return self.of_setting(bench, fold, unit, setting)
        if unit.kind == "selfie":
            position = self.setting(unit.model).positions[0]
            adapter = "" if unit.variant == "selfie_base" else unit.needs[-1]
            return read_states(bench, fold, adapter, position)
        costs: dict[str, Any] = {}
        match unit.kind:
            case "base":
                states = bench.untouched(unit.corpus, fold)
                costs = {"ability": bench.untouched_ability()}
            case "random":
                states = bench.random_weights(fold)
            case _:
                setting = self.setting(unit.model)
                states, costs = bench.tuned(unit.name, unit.variant, fold, setting, unit.fold)
        return {
            "prompts": prompts,
            **known_of(fold),
            "probe": best_probe(states, fold),
            "geometry": geometry(states, fold, bench.reading_layer),
            "transport": transported(states, fold),
            **costs,
        }

    def of_setting(self, bench: Bench, fold: Fold, unit: Unit, setting: Setting) -> dict[str, Any]:
        """What validation texts say of a setting. Test texts are left out before anything is
        read: validation texts stand in their place."""
        seen = [example for example in fold.examples if example.split != "test"]
        known = Fold(seen, fold.safe)
        states, costs = bench.tuned(unit.name, OURS, known, setting, unit.fold)
        return {"setting": vars(setting), "probe": best_probe(states, known), **costs}

    def setting(self, model: str) -> Setting:
        """The candidate whose best probes do best on validation texts, of those that cost little;
        of another model, at the same share of its depth."""
        tried = {
            name: read_json(self.file_of(f"smollm2-beavertails-setting_{name}-0"))
            for name in CANDIDATES
        }
        chosen = CANDIDATES[best_of(tried)]
        depth, own = PRESETS["smollm2"].layers, PRESETS[model].layers
        return chosen.at_depth(own / depth)


def best_of(tried: Mapping[str, Mapping[str, Any]]) -> str:
    """The candidate to go on with, of units by their candidate's name."""

    def worth(name: str) -> tuple[bool, float, float]:
        unit = tried[name]
        cost = unit["kl_held_out"]
        return (cost <= MOST_KL, unit["probe"]["best_validation"], -cost)

    return max(tried, key=worth)


def line_of(found: Mapping[str, Any]) -> str:
    if "selfie" in found:
        return f"{found['processor_seconds']:.0f} processor-s"
    probe = found["probe"]
    right = probe.get("correct", "")
    accuracy = f"test {right.count('1') / len(right):.3f}" if right else ""
    costs = " ".join(
        f"{k} {v:.4g}" for k, v in found.items() if k.startswith(("kl_h", "kl_o", "perp"))
    )
    return (
        f"validation {probe['validation']:.3f} {accuracy} {costs} "
        f"{found['processor_seconds']:.0f} processor-s"
    )


if __name__ == "__main__":
    try:
        run(main)
    except InputError as error:
        raise SystemExit(str(error)) from None
