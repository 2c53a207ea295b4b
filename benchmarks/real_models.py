"""Pretrained models on texts that people wrote: does the finetune help their best probe?

The plan, with what is measured and how it is tested, is benchmarks/results/real_models_plan.md.
Work is done in units, each a variant of a model on one fold of a corpus, in the order of the plan.
A unit's file is written whole, so that a stopped run goes on where it stood; several processes may
run at a time and share the units. Their files are committed: a run goes on on another machine, too.

    .venv/bin/python -m benchmarks.real_models --data a/folder --work work/real
"""

import argparse
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from benchmarks.real_corpora import (
    CORPORA,
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
    unseen_of,
    word_probe,
)
from benchmarks.real_selfie import read_states
from benchmarks.real_tuning import PRESETS, Bench
from benchmarks.real_units import (
    CANDIDATES,
    CHOSEN,
    OURS,
    REMEDIES,
    UNSEEN,
    Setting,
    Unit,
    best_of,
    best_remedy,
    units,
)
from pipeline.core.console import InputError, run
from pipeline.core.files import read_json, write_json
from pipeline.core.text_identity import normalised

UNITS = Path("benchmarks/results/real_models")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora's tables")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is computed")
    parser.add_argument("--units", type=Path, default=UNITS, help="folder of the units' files")
    parser.add_argument("--only", help="units whose names hold this")
    parser.add_argument("--once", action="store_true", help="end after one unit, whose memory a "
                        "process keeps: two that work for hours want 20 GB")  # fmt: skip
    options = parser.parse_args()
    study = Study(options.data, options.work, options.units)
    wanted = [unit for unit in units() if not options.only or options.only in unit.name]
    while waiting := [unit for unit in wanted if study.lacks(unit)]:
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
    units: Path

    def file_of(self, name: str) -> Path:
        return self.units / f"{name}.json"

    def has(self, names: Sequence[str]) -> bool:
        return all(self.file_of(name).exists() for name in names)

    def lacks(self, unit: Unit) -> bool:
        """Whether a unit is still to be done. The best remedy is run on all folds only if it is
        better than what it is to mend."""
        if unit.kind == "remedied" and self.has(unit.needs) and not self.remedy():
            return False
        return not self.has([unit.name])

    def tried(self, unit: Unit) -> bool:
        """Do a unit, unless it is done, at work elsewhere, or waits for others; whether it was."""
        if not (self.has(unit.needs) and self.lacks(unit)):
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
                    "kernels": os.environ.get("LEGIBLE_KERNELS", "pinned"),
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
        # What is drawn together by the bootstrap: answers to one prompt, which has a number.
        texts = [normalised(example.prompt) for example in fold.held_out]
        prompts = np.unique(texts, return_inverse=True)[1].tolist()
        if unit.kind == "words":
            return {"prompts": prompts, **known_of(fold), "probe": word_probe(fold)}
        others = other_texts(self.data, unit.corpus)
        asked = questions_among(self.data, fold.held_out if unit.corpus == "mmlu" else others)
        bench = Bench(unit.model, self.work, others, asked)
        if unit.kind == "setting":
            setting = CANDIDATES[unit.variant.removeprefix("setting_")]
            return self.of_setting(bench, fold, unit, setting)
        if unit.kind == "remedy":
            setting = self.remedied(unit.variant.removeprefix("remedy_"))
            return self.of_setting(bench, fold, unit, setting)
        if unit.kind == "selfie":
            position = self.setting(unit.model).positions[0]
            adapter = "" if unit.variant == "selfie_base" else unit.needs[-1]
            if adapter and not bench.adapter(adapter).exists():  # made on another machine
                bench.tuned(adapter, OURS, fold, self.setting(unit.model), unit.fold)
            return read_states(bench, fold, adapter, position)
        costs: dict[str, Any] = {}
        fitted = None
        match unit.kind:
            case "base":
                states = bench.untouched(unit.corpus, fold)
                costs = {"ability": bench.untouched_ability()}
            case "random":
                states = bench.random_weights(fold)
            case "remedied" if remedy := self.remedy():
                name, probe = remedy
                states, costs = bench.tuned(unit.name, OURS, fold, self.remedied(name), unit.fold)
                fitted = unseen_of(fold) if probe == UNSEEN else None
                costs |= {"remedy": name, "probe_of": probe}
            case _:
                setting = self.setting(unit.model)
                states, costs = bench.tuned(unit.name, unit.variant, fold, setting, unit.fold)
        return {
            "prompts": prompts,
            **known_of(fold),
            "probe": best_probe(states, fold, fitted),
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
        found = {"setting": vars(setting), "probe": best_probe(states, known), **costs}
        if setting.half:
            found[UNSEEN] = best_probe(states, known, unseen_of(known))
        return found

    def setting(self, model: str) -> Setting:
        """The candidate whose best probes do best on validation texts, of those that cost little;
        of another model, at the same share of its depth."""
        depth, own = PRESETS["smollm2"].layers, PRESETS[model].layers
        return CANDIDATES[best_of(self.of_kind("setting", CANDIDATES))].at_depth(own / depth)

    def remedied(self, name: str) -> Setting:
        return replace(self.setting("smollm2"), **REMEDIES[name])

    def remedy(self) -> tuple[str, str] | None:
        """The remedy that does better than the chosen setting, and which of its probes does."""
        chosen = read_json(self.file_of(CHOSEN))
        return best_remedy(self.of_kind("remedy", REMEDIES), chosen)

    def of_kind(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """The units of settings or of remedies, by name."""
        return {
            name: read_json(self.file_of(f"smollm2-beavertails-{kind}_{name}-0")) for name in names
        }


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
