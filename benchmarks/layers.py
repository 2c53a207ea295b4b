"""Where to train and where to read: every layer trained, every layer read, and what it costs.

Finetunes `true_negatives` at each layer, and at all of them at once, in a clone of the last commit;
reads k-NN accuracy at every layer on `novel` texts. Cost is the CPU time of the finetune's stage
beyond that of `base`, which takes no step.

    .venv/bin/python -m benchmarks.layers --work work/layers
"""

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.effect_numbers import OURS
from benchmarks.runs import Corpus, clone, repro, set_params
from pipeline.core.files import read_json, whole, write_json

RESULTS = Path("benchmarks/results")
NUMBER = "knn_accuracy"
LAYERS = (1, 2, 3, 4)
TRAINED = (*((layer,) for layer in LAYERS), LAYERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for the clone")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = clone(options.work / "clone")
    found = {_name(layers): _run(folder, options.seed, layers) for layers in TRAINED}
    write_json(options.out / "layers.json", found)
    with whole(options.out / "layers.md") as draft:
        draft.write_text(_page(found), encoding="utf-8")
    print((options.out / "layers.md").read_text(encoding="utf-8"))


def _name(layers: Sequence[int]) -> str:
    return "layers " + ", ".join(map(str, layers)) if len(layers) > 1 else f"layer {layers[0]}"


def _run(folder: Path, seed: int, layers: Sequence[int]) -> dict[str, dict[str, float]]:
    """Accuracy by the layer that is read, before and after, and the finetune's CPU seconds."""
    set_params(folder, seed, Corpus({"finetune.target_layers": [*layers]}, ("base", OURS)))
    repro(folder, ["base_model", "pairs"])
    idle, busy = (_cpu_seconds(folder, f"adapters@{name}") for name in ("base", OURS))
    repro(folder, ["separation", "fidelity"])
    rows = {"cost": {"cpu_seconds": busy - idle}}
    for name in ("base", OURS):
        tree = read_json(folder / f"metrics/separation/{name}.json")
        rows[name] = {
            layer: tree[layer]["last"]["novel"][NUMBER]["value"]
            for layer in (f"layer_{number}" for number in (0, *LAYERS))
        }
        fidelity = read_json(folder / f"metrics/fidelity/{name}.json")
        rows[name]["perplexity"] = fidelity["perplexity"]["value"]
    return rows


def _cpu_seconds(folder: Path, stage: str) -> float:
    """Of a stage that is run anew, whatever its cache holds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    repro(folder, ["--force", "--single-item", stage])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _page(found: dict[str, dict[str, dict[str, float]]]) -> str:
    command = " ".join(["python -m benchmarks.layers", *sys.argv[1:]])
    read = [f"layer_{number}" for number in (0, *LAYERS)]
    cheapest = min(rows["cost"]["cpu_seconds"] for rows in found.values())
    lines = [
        "# Where to train and where to read",
        "",
        f"k-NN accuracy on `novel` texts, by the layer that is read; cost of the finetune in CPU "
        f"time, the cheapest being 1. One seed. Made by `{command}`.",
        "",
        "| trained | " + " | ".join(f"read at {name[6:]}" for name in read)
        + " | perplexity | cost |",
        "|---" * (len(read) + 3) + "|",
    ]  # fmt: skip
    untouched = next(iter(found.values()))["base"]
    lines.append(_line("nothing", untouched, read, 0.0))
    lines += [
        _line(name, rows[OURS], read, rows["cost"]["cpu_seconds"] / cheapest)
        for name, rows in found.items()
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, row: dict[str, float], read: Sequence[str], cost: float) -> str:
    cells = [f"{row[layer]:.3f}" for layer in (*read, "perplexity")]
    return f"| {name} | " + " | ".join([*cells, f"{cost:.1f}"]) + " |"


if __name__ == "__main__":
    main()
