"""Draw contrastive pairs, one file per labelling and sampling that a variant may ask for."""

from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import LEARNED, PAIRS
from pipeline.core.records import Example, read_records, write_records
from pipeline.corpora.pairs import LABELLINGS, SAMPLINGS, draw_pairs


def main() -> None:
    params = load_params()
    examples = read_records(LEARNED, Example)
    for labelling in LABELLINGS:
        for sampling in SAMPLINGS:
            pairs = draw_pairs(examples, labelling, sampling, params.pairs, params.seed)
            write_records(PAIRS / f"{labelling}-{sampling}.jsonl", pairs)


if __name__ == "__main__":
    run(main)
