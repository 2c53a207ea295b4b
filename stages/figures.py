"""Draw what was measured."""

from pipeline.core.console import run
from pipeline.core.files import read_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import (
    FIGURES,
    HIDING,
    MANIFEST,
    METRICS,
    REPRESENTATIONS,
    SCORES,
    SUFFIX_ATTACKS,
    SUFFIX_CURVES,
    TOKEN_INTERPRETATIONS,
)
from pipeline.core.rates import in_words
from pipeline.core.records import Score, TokenInterpretation, read_records
from pipeline.core.representations import load_representations
from pipeline.reporting.headline import headline, read_metrics
from pipeline.reporting.hiding_tables import read_hiding
from pipeline.reporting.redaction import redaction_of


def main() -> None:
    params = load_params()
    # Seaborn takes seconds to import, and no mistake in params waits for it.
    import pandas as pd

    from pipeline.reporting import figures, interpretation_figures, monitor_figures
    from pipeline.reporting.picture_files import write_figures
    from pipeline.reporting.style import style

    reading, asking, compared = params.reading, params.asking, params.figures.compared
    metrics = {name: read_metrics(METRICS, name) for name in params.variants}
    separation, monitors, selfie = (
        {name: tree[stage] for name, tree in metrics.items()}
        for stage in ("separation", "monitors", "selfie")
    )
    rows = {name: headline(tree, reading, asking) for name, tree in metrics.items()}
    stored = {
        name: load_representations(REPRESENTATIONS / f"{name}.safetensors") for name in compared
    }
    curves = {name: pd.read_csv(METRICS / "adapters" / f"{name}.csv") for name in params.variants}
    text_only = read_json(METRICS / "text_only.json")
    transport = {n: read_json(METRICS / "transport" / f"{n}.json") for n in params.variants}
    capability = {n: read_json(METRICS / "capability" / f"{n}.json") for n in params.variants}
    control = {path.stem: read_json(path) for path in sorted((METRICS / "control").iterdir())}
    scores = {name: read_records(SCORES / f"{name}.jsonl", Score) for name in compared}
    read = {
        name: read_records(TOKEN_INTERPRETATIONS / f"{name}.jsonl", TokenInterpretation)
        for name in compared
    }
    hiding = read_hiding(HIDING)
    left = {name: read_json(SUFFIX_ATTACKS / f"{name}.json") for name in base_first(compared)}
    searched = {path.stem: pd.read_csv(path) for path in sorted(SUFFIX_CURVES.iterdir())}
    rate, rate_kept = (in_words(pick(reading.false_alarms)) for pick in (max, min))
    read_at = reading.layer, reading.position
    asked_at = asking.layer, asking.positions[0]
    concepts = sorted(
        {str(name) for some in stored.values() for name in some.at(*read_at, "train")[1]}
    )
    redaction = redaction_of(read_json(MANIFEST), params.figures.redact)
    with style():
        pictures = (
            figures.of_representations(stored, *read_at, params.figures.map_texts, params.seed)
            | figures.of_separation(separation, text_only, compared, *read_at)
            | monitor_figures.of_monitors(scores, [*params.variants], reading.position)
            | monitor_figures.of_matrix(monitors, text_only, compared, reading.position)
            | monitor_figures.of_alarms(monitors, text_only, compared, reading.position, rate)
            | monitor_figures.of_cascade(monitors, compared, rate)
            | monitor_figures.of_attacks(left, searched, rate_kept)
            | monitor_figures.of_hiding(hiding, text_only, reading.position, rate_kept)
            | figures.of_transport(transport)
            | figures.of_behaviour(rows, capability)
            | figures.of_control(control)
            | interpretation_figures.of_interpretations(selfie, *asked_at)
            | interpretation_figures.of_crossings(selfie, *asked_at)
            | interpretation_figures.of_moved(selfie, asking.positions[0])
            | interpretation_figures.of_tokens(read, concepts, redaction)
            | figures.of_training(curves)
        )
        write_figures(FIGURES, pictures)


if __name__ == "__main__":
    run(main)
