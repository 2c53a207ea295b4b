"""Fit and score monitors on every variant's representations, at the layer and position read."""

from pipeline.console import progress, run
from pipeline.corpora import safe_concepts
from pipeline.files import Tree, write_json
from pipeline.params import load_params
from pipeline.paths import MANIFEST, METRICS, REPRESENTATIONS
from pipeline.representations import load_representations


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.monitors import new_monitors, score_monitor

    reading, safe = params.reading, safe_concepts(MANIFEST)
    for name in progress(params.variants, "monitors"):
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        vectors, concepts = stored.at(reading.layer, reading.position, "train")
        tree: dict[str, Tree] = {}
        for kind, monitor in new_monitors(min(reading.neighbours, len(concepts))).items():
            monitor.fit(vectors, concepts)
            tree[kind] = {
                split: score_monitor(
                    monitor,
                    *stored.at(reading.layer, reading.position, split),
                    safe,
                    reading.resamples,
                    params.seed,
                ).as_tree()
                for split in stored.held_out()
            }
        place = {"layer": reading.layer, "position": reading.position}
        write_json(METRICS / "monitors" / f"{name}.json", {**place, **tree})


if __name__ == "__main__":
    run(main)
