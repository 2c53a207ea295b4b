"""Attack the monitors of the untouched model and of the compared variants, on harmful prompts."""

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run
from pipeline.core.params import base_first, load_params
from pipeline.core.paths import ADAPTERS, ATTACKED, BASE_MODEL, EXAMPLES, MANIFEST, SHIFTED, UNREAD
from pipeline.core.records import Example, evenly_spaced, read_records, write_records
from pipeline.core.scored_sets import EVERYDAY
from pipeline.inference.attacks import AttackResults, attack_monitors, scores_of_attacks
from pipeline.inference.differentiable import HarmReader, fit_readers
from pipeline.inference.suffixes import Target
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_variant


def main() -> None:
    params = load_params()
    device = prepare(params.runtime)
    examples, safe = read_records(EXAMPLES, Example), {*safe_concepts(MANIFEST)}
    train, validation, test = (
        [example for example in examples if example.split == split]
        for split in ("train", "validation", "test")
    )
    learned = evenly_spaced(train, params.streams.pooled_texts)
    harmful = [example for example in test if example.concept not in safe]
    asked = evenly_spaced(harmful, params.attacks.texts)
    if len({example.concept in safe for example in learned}) < 2:
        asked = []  # there is no monitor of harm
    everyday = [e for e in read_records(SHIFTED, Example) if e.split == EVERYDAY]
    beside = [*validation, *(e for e in (*test, *everyday) if e.concept in safe)]
    readers: dict[str, dict[str, HarmReader]] = {}

    def target_of(name: str) -> Target:
        model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
        encoder = Encoder(tokenizer, params.text)
        if name not in readers:
            readers[name] = fit_readers(
                model, encoder, learned, validation, lambda example: example.concept not in safe,
                params.attacks.monitors, params.reading.layer, params.extraction, params.seed,
                UNREAD / f"{name}.prompts",
            )  # fmt: skip
        return Target(model, encoder, readers[name], params.extraction.tokens_per_batch)

    names = base_first(params.figures.compared)
    found = {name: AttackResults() for name in names}
    if asked:
        for name in names:
            found[name] = attack_monitors(
                target_of(name), name, asked, beside, params.attacks, params.seed
            )
        for name in names if len(names) > 1 else ():
            target = target_of(name)
            for other in names:
                if other != name and "base" in (name, other):
                    found[name].scores += scores_of_attacks(
                        target, other, asked, params.attacks, found[other]
                    )
    for name, own in found.items():
        write_records(ATTACKED / f"{name}.jsonl", own.scores)
        write_records(ATTACKED / f"{name}.steps.jsonl", own.steps)
        write_records(ATTACKED / f"{name}.prompts.jsonl", own.prompts)


if __name__ == "__main__":
    run(main)
