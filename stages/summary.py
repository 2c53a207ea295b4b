"""Gather the headline numbers of every variant: what a reviewer reads in a diff."""

from pipeline.console import run
from pipeline.files import write_json
from pipeline.params import load_params
from pipeline.paths import METRICS
from pipeline.summary import headline, read_metrics


def main() -> None:
    params = load_params()
    rows = {
        name: headline(read_metrics(METRICS, name), params.reading, params.asking)
        for name in params.variants
    }
    write_json(METRICS / "summary.json", rows)


if __name__ == "__main__":
    run(main)
