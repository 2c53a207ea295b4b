"""Bind the answer, numbers, pictures and words into one page."""

from pipeline.core.console import run
from pipeline.core.files import read_json
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import (
    BASE_CARD,
    BASELINE,
    CONSTRAINTS,
    FIGURES,
    HIDING,
    INTERPRETATIONS,
    JUDGES,
    MANIFEST,
    METRICS,
    REPORT,
    SEED_VALUES,
    SUFFIX_ATTACKS,
)
from pipeline.core.rates import in_words
from pipeline.core.records import HEADLINE, Interpretation, read_records
from pipeline.reporting.attack_tables import attack_rows
from pipeline.reporting.comparison import corrected_rows
from pipeline.reporting.headline import differences, headline, read_metrics
from pipeline.reporting.hiding_tables import read_hiding
from pipeline.reporting.monitor_matrix import matrix_cells, rows_by_set
from pipeline.reporting.page import (
    ReportContents,
    faithfulness,
    read_pins,
    render_report,
    write_report,
)
from pipeline.reporting.redaction import redaction_of
from pipeline.reporting.seed_band import read_seed_values

REPORTED_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy",
             "scikit-learn", "POT", "pandas", "dvc")  # fmt: skip


def main() -> None:
    params = load_params()
    reading, variants, compared = params.reading, params.variants, params.figures.compared
    settings = {
        "seed": params.seed, "text": params.text, "corpora": params.corpora, "model": params.model,
        "pretraining": params.pretraining, "pairs": params.pairs, "finetune": params.finetune,
        "variants": variants, "extraction": params.extraction, "reading": reading,
        "transport": params.transport, "generation": params.generation, "judging": params.judging,
        "streams": params.streams, "attacks": params.attacks,
        "further_training": params.further_training,
        "asking": params.asking, "selfie": params.selfie, "control": params.control,
        "figures": params.figures, "capability": params.capability,
    }  # fmt: skip
    rate = in_words(min(reading.false_alarms))
    seeds = read_seed_values(SEED_VALUES, settings)
    metrics = {name: read_metrics(METRICS, name, seeds) for name in variants}
    page = render_report(
        ReportContents(
            rows={name: headline(tree, reading, params.asking) for name, tree in metrics.items()},
            differences=corrected_rows(
                {name: differences(tree, reading, params.asking) for name, tree in metrics.items()}
            ),
            baseline=read_json(BASELINE),
            compared=compared,
            controls=[name for name, row in variants.items() if row.labels == "shuffled"],
            manifest=read_json(MANIFEST),
            card=read_json(BASE_CARD),
            text_only=read_json(METRICS / "text_only.json"),
            words={
                name: [
                    interpretation
                    for interpretation in read_records(
                        INTERPRETATIONS / f"{name}.jsonl", Interpretation
                    )
                    if interpretation.layer == params.asking.layer
                ]
                for name in compared
            },
            selfie={
                name: faithfulness(tree["selfie"], params.asking) for name, tree in metrics.items()
            },
            matrix=rows_by_set(
                matrix_cells(
                    {name: tree["monitors"] for name, tree in metrics.items()},
                    metrics["base"]["text_only"],
                    reading.position,
                ),
                HEADLINE,
                compared,
            ),
            hiding=read_hiding(HIDING),
            rate=rate,
            seeds=seeds,
            judge=read_json(METRICS / "judge.json"),
            judges=read_json(JUDGES),
            safety={name: metrics[name]["safety"] for name in compared},
            control={
                path.stem: read_json(path) for path in sorted((METRICS / "control").iterdir())
            },
            attacks=attack_rows(
                {n: read_json(SUFFIX_ATTACKS / f"{n}.json") for n in base_first(compared)}, rate
            ),
            redaction=redaction_of(read_json(MANIFEST), params.figures.redact),
            figures=FIGURES,
            pins=read_pins(CONSTRAINTS, REPORTED_LIBRARIES),
            params=settings,
            read_at=f"layer {reading.layer}, position {reading.position}",
        )
    )
    write_report(REPORT, page)


if __name__ == "__main__":
    run(main)
