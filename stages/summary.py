"""Gather the headline numbers of every variant, and the few that a reviewer reads in a diff."""

from pipeline.core.console import run
from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.paths import METRICS, MONITOR_MATRIX
from pipeline.reporting.headline import (
    curves_over_layers,
    headline,
    read_metrics,
    values_of,
    write_curves,
)
from pipeline.reporting.monitor_matrix import matrix_cells, write_matrix
from pipeline.reporting.short_headline import BASE, rounded_values, short_headline, shown_variant


def main() -> None:
    params = load_params()
    reading = params.reading
    metrics = {name: read_metrics(METRICS, name) for name in params.variants}
    rows = {name: headline(tree, reading, params.asking) for name, tree in metrics.items()}
    write_json(METRICS / "summary.json", {name: values_of(row) for name, row in rows.items()})
    shown = shown_variant(params.figures.compared)
    short = short_headline(metrics[BASE], metrics[shown], reading, params.asking) if shown else {}
    write_json(METRICS / "headline.json", rounded_values(short))
    separation = {name: tree["separation"] for name, tree in metrics.items()}
    selfie = {name: tree["selfie"] for name, tree in metrics.items()}
    curves = curves_over_layers(separation, (reading.position, "test"))
    for number, points in curves_over_layers(selfie, ("test", params.asking.positions[0])).items():
        curves[f"selfie_{number}"] = points
    write_curves(METRICS / "curves", curves)
    monitors = {name: tree["monitors"] for name, tree in metrics.items()}
    text_only = metrics[BASE]["text_only"]
    write_matrix(MONITOR_MATRIX, matrix_cells(monitors, text_only, reading.position))


if __name__ == "__main__":
    run(main)
