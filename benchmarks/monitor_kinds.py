"""What every kind of monitor costs to fit and to ask, beside the states that it needs.

Made-up texts of two kinds, as many and as wide as the default run's; processor time on one thread,
the median of several rounds. What the model itself costs is not in it: a kind that reads one layer
needs the blocks up to there, one that reads all layers every block.

    python -m benchmarks.monitor_kinds    # a minute; writes benchmarks/results/monitor_kinds.json
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.common import made_up_texts
from pipeline.core.files import write_json
from pipeline.evaluation.linear_probe import new_logistic
from pipeline.models.matrix_products import use_openblas
from pipeline.monitors.classifiers import MULTILAYER, NEURONS, fit, new_monitors, new_neurons
from pipeline.monitors.pooled import Pooling, fit_pooled
from pipeline.monitors.text_baseline import NGRAMS, new_classifier
from pipeline.monitors.token_states import TokenStates

TRAIN, SCORED, WIDTH, LAYERS, TOKENS = 900, 240, 128, 5, 36
RESULT = Path("benchmarks/results/monitor_kinds.json")
Way = tuple[Callable[[], Any], Callable[[Any], Any]]  # what fits, and what asks what was fitted


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--out", type=Path, default=RESULT)
    given = options.parse_args()
    use_openblas(1)
    with tempfile.TemporaryDirectory() as folder:
        ways = {**of_states(), **of_tokens(Path(folder)), **of_words()}
        found = {kind: costs(way, given.rounds) for kind, way in ways.items()}
    for kind, own in found.items():
        print(kind, own)
    write_json(given.out, {"rounds": given.rounds, "kinds": found}, digits=3)


def costs(way: Way, rounds: int) -> Mapping[str, float]:
    """Seconds of a fit, and microseconds of a text that is scored."""
    fits, asks = [], []
    for _ in range(rounds):
        start = time.process_time()
        fitted = way[0]()
        middle = time.process_time()
        way[1](fitted)
        fits.append(middle - start)
        asks.append((time.process_time() - middle) / SCORED)
    return {
        "fit_seconds": float(np.median(fits)),
        "text_microseconds": 1e6 * float(np.median(asks)),
    }


def of_states() -> dict[str, Way]:
    """Kinds that read one state of a text, or one of every layer."""
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(TRAIN + SCORED) < 0.8, "harmful", "safe")
    every = rng.normal(size=(len(labels), LAYERS * WIDTH))
    every[labels == "safe", ::16] += 0.7
    candidates = {kind: [monitor] for kind, monitor in new_monitors(9, 0).items()}
    wide = {MULTILAYER: [new_logistic()], NEURONS: new_neurons(0)}

    def way(tried: list[Any], states: np.ndarray) -> Way:
        return (
            lambda: [fit(one, states[:TRAIN], labels[:TRAIN]) for one in tried].pop(),
            lambda fitted: fitted.predict_proba(states[TRAIN:]),
        )

    return {kind: way(tried, every[:, :WIDTH]) for kind, tried in candidates.items()} | {
        kind: way(tried, every) for kind, tried in wide.items()
    }


def of_tokens(folder: Path) -> dict[str, Way]:
    """Kinds that read the states of all tokens."""
    rng = np.random.default_rng(0)
    harmful = rng.random(TRAIN + SCORED) < 0.8
    lengths = tuple(map(int, rng.integers(TOKENS // 2, 3 * TOKENS // 2, len(harmful))))
    states = TokenStates(folder / "tokens", lengths, WIDTH, 4096)
    states.make()
    for number, (length, kind) in enumerate(zip(lengths, harmful, strict=True)):
        own = rng.normal(size=(length, WIDTH)).astype(np.float32)
        own[:, ::16] += 0.2 * kind
        states.put(number, own)
    learned, known = range(TRAIN - 100), range(TRAIN - 100, TRAIN)
    scored = range(TRAIN, len(lengths))

    def way(pooling: Pooling) -> Way:
        return (
            lambda: fit_pooled(pooling, states, harmful, learned, known),
            lambda probe: probe.logits(states, scored),
        )

    return {pooling: way(pooling) for pooling in get_args(Pooling)}


def of_words() -> dict[str, Way]:
    """Kinds that read words, and no model."""
    texts = [" ".join(pair) for pair in made_up_texts(TRAIN + SCORED)]
    harmful = np.random.default_rng(0).random(len(texts)) < 0.8

    def way(ending: str) -> Way:
        return (
            lambda: new_classifier(NGRAMS[ending]).fit(texts[:TRAIN], harmful[:TRAIN]),
            lambda fitted: fitted.predict_proba(texts[TRAIN:]),
        )

    return {"words": way(""), "characters": way("_characters")}


if __name__ == "__main__":
    main()
