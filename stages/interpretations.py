"""Let every variant describe its own hidden states of held-out texts, beside all controls and
baselines; the compared ones also every token's states of a few texts, for a heat map. Let the
untouched model judge what was said, and the texts' own words, of which it should know."""

from pipeline.core.concepts import balanced, concepts_of
from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_MODEL,
    EXAMPLES,
    INTERPRETATIONS,
    JUDGED,
    TOKEN_INTERPRETATIONS,
)
from pipeline.core.records import Example, Judged, read_records, write_records
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_base, load_variant
from pipeline.selfie.controls import interpret_examples, interpret_tokens
from pipeline.selfie.judge_model import judge_texts


def main() -> None:
    params = load_params()
    device = prepare(params.runtime)
    examples = read_records(EXAMPLES, Example)
    concepts = concepts_of(examples)
    splits = [[e for e in examples if e.split == split] for split in ("test", "novel")]
    chosen = [balanced(held_out, params.selfie.texts_per_split) for held_out in splits if held_out]
    shown = balanced(splits[0], len(concepts))
    said = {example.words for example in chosen[0]}
    for name in params.variants:
        model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
        encoder = Encoder(tokenizer, params.text)
        interpretations = [
            interpretation
            for texts in chosen
            for interpretation in interpret_examples(
                model, encoder, texts, concepts, params.asking, params.selfie, params.seed
            )
        ]
        write_records(INTERPRETATIONS / f"{name}.jsonl", interpretations)
        said |= {interpretation.text for interpretation in interpretations}
        if name in params.figures.compared:
            by_token = interpret_tokens(model, encoder, shown, params.asking, params.selfie)
            write_records(TOKEN_INTERPRETATIONS / f"{name}.jsonl", by_token)
    judged: list[Judged] = []
    if params.selfie.judge == "base":
        untouched, tokenizer = load_base(BASE_MODEL, device)
        encoder = Encoder(tokenizer, params.text)
        judged = judge_texts(
            untouched, encoder, said, concepts, params.asking, params.selfie.texts_per_batch
        )
    write_records(JUDGED, judged)


if __name__ == "__main__":
    run(main)
