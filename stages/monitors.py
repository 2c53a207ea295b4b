"""Fit and score monitors on every variant's representations; keep the headline one to take home."""

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import progress, run
from pipeline.core.files import read_json, write_json
from pipeline.core.params import load_params
from pipeline.core.paths import (
    BASE_CARD,
    EXAMPLES,
    MANIFEST,
    METRICS,
    MONITORS,
    READ_WORDS,
    REPRESENTATIONS,
    REQUESTS,
    SCORES,
    SHIFTED,
    STREAMS,
)
from pipeline.core.records import (
    Example,
    PooledScore,
    ReadWords,
    Request,
    read_records,
    write_records,
)
from pipeline.core.representations import load_representations
from pipeline.core.scored_sets import prompts_alone
from pipeline.monitors.answer_states import load_streams
from pipeline.monitors.saved import identity_of, save_monitor


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.against_base import beside_base
    from pipeline.monitors.datasets import VariantTexts
    from pipeline.monitors.evaluation import (
        MonitorResults,
        evaluate_monitors,
        monitor_metrics,
        write_tables,
    )
    from pipeline.monitors.text_baseline import harm_in_words

    reading, safe, card = params.reading, safe_concepts(MANIFEST), identity_of(read_json(BASE_CARD))
    requests = {request.id: request for request in read_records(REQUESTS, Request)}
    examples = read_records(EXAMPLES, Example) + read_records(SHIFTED, Example)
    alone = prompts_alone(examples)
    prompts = {example.id: example.prompt for example in examples}
    prompts |= {name: request.prompt for name, request in requests.items()}
    read = read_records(READ_WORDS, ReadWords)
    judged = harm_in_words(read, examples, safe, reading.position)

    def measure(name: str) -> MonitorResults:
        stored = load_representations(REPRESENTATIONS / f"{name}.safetensors")
        streams = load_streams(STREAMS / f"{name}.safetensors")
        pooled: dict[str, dict[str, float]] = {}
        for score in read_records(STREAMS / f"{name}.pooled.jsonl", PooledScore):
            pooled.setdefault(score.monitor, {})[score.text] = score.logit
        return evaluate_monitors(
            VariantTexts(
                variant=name,
                base=card,
                stored=stored,
                streams=streams,
                pooled=pooled,
                judged=judged,
                requests=requests,
                prompts=prompts,
                safe=safe,
                reading=reading,
                seed=params.seed,
                prompts_alone=alone,
            )
        )

    read_at = {"layer": reading.layer, "position": reading.position}
    measured = beside_base(params.variants, measure)
    for name, found, base in progress(measured, "monitors", len(params.variants)):
        write_json(
            METRICS / "monitors" / f"{name}.json", {**read_at, **monitor_metrics(found, base)}
        )
        write_records(SCORES / f"{name}.jsonl", found.scores)
        for position, monitor in found.saved.items():
            save_monitor(MONITORS / name, position, monitor)
        write_tables(METRICS, name, found)


if __name__ == "__main__":
    run(main)
