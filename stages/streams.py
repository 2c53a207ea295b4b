"""Read every variant's answers, and validation texts, as a monitor would see them being given; fit
probes of all tokens of texts."""

from collections.abc import Sequence

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_MODEL,
    COMPLETIONS,
    EXAMPLES,
    MANIFEST,
    REQUESTS,
    SHIFTED,
    STREAMS,
    UNREAD,
)
from pipeline.core.records import (
    Completion,
    Example,
    evenly_spaced,
    read_records,
    read_watched,
    write_records,
)
from pipeline.core.scored_sets import prompts_alone, seen_at
from pipeline.inference.answer_extraction import read_streams
from pipeline.inference.pooled_scores import pooled_scores
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_variant
from pipeline.monitors.answer_states import save_streams


def main() -> None:
    params = load_params()
    device = prepare(params.runtime)
    most = params.streams.texts
    prompts = {request.id: request.prompt for request in read_watched(REQUESTS, most)}
    examples, safe = read_records(EXAMPLES, Example), safe_concepts(MANIFEST)
    every = as_seen(params.reading.position, [*examples, *read_records(SHIFTED, Example)])
    validation = evenly_spaced([e for e in examples if e.split == "validation"], most)
    for name in params.variants:
        model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
        answers = read_records(COMPLETIONS / name / "completions.jsonl", Completion)
        asked = [answer for answer in answers if answer.request in prompts]
        encoder = Encoder(tokenizer, params.text)
        texts = encoder.unended(
            [(prompts[a.request], a.text) for a in asked]
            + [(e.prompt, e.response) for e in validation]
        )
        names = [(a.request, a.sample) for a in asked] + [(e.id, 0) for e in validation]
        layer, tokens = params.reading.layer, params.extraction.tokens_per_batch
        save_streams(
            STREAMS / f"{name}.safetensors", read_streams(model, texts, names, layer, tokens)
        )
        file = UNREAD / f"{name}.tokens"
        scores = pooled_scores(
            model,
            encoder,
            every,
            safe,
            layer,
            params.streams.pooled_texts,
            tokens,
            file,
        )
        write_records(STREAMS / f"{name}.pooled.jsonl", scores)


def as_seen(position: str, examples: Sequence[Example]) -> list[Example]:
    """The texts as far as they can be seen at a position; of sets of prompts alone, the prompts."""
    alone = prompts_alone(examples)
    return [
        seen
        for example in examples
        for seen in seen_at("prompt_end" if example.split in alone else position, [example])
    ]


if __name__ == "__main__":
    run(main)
