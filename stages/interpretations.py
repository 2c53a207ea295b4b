"""Let every variant describe its own hidden states of held-out texts, beside all controls and
baselines; let the untouched model, and a reader that was taught the labels, read them too. The
compared ones also describe every token's states of a few texts, for a heat map, and states that
were moved, or that go through a scale and a bias that were trained. Let the untouched model judge
what was said, and the texts' own words, of which it should know."""

from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import balanced, concepts_of
from pipeline.core.console import run
from pipeline.core.params import Params, load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_MODEL,
    CLOSED_READINGS,
    EXAMPLES,
    INTERPRETATIONS,
    JUDGED,
    MOVED_INTERPRETATIONS,
    READ_WORDS,
    REPRESENTATIONS,
    TOKEN_INTERPRETATIONS,
)
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import (
    AFFINE,
    Example,
    Interpretation,
    Judged,
    ReadWords,
    read_records,
    write_records,
)
from pipeline.core.representations import Representations, load_representations
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_base, load_variant


def main() -> None:
    params = load_params()
    # Scikit-learn takes seconds to import, and no mistake in params waits for it.
    from pipeline.evaluation.linear_probe import fit_probe
    from pipeline.selfie.closed_answers import read_closed
    from pipeline.selfie.controls import interpret_examples, interpret_tokens
    from pipeline.selfie.crossings import interpret_stored, named_records
    from pipeline.selfie.judge_model import judge_texts
    from pipeline.selfie.moved_states import interpret_moved

    asking, selfie = params.asking, params.selfie
    device = prepare(params.runtime)
    examples = read_records(EXAMPLES, Example)
    concepts = concepts_of(examples)
    splits = [[e for e in examples if e.split == split] for split in ("test", "novel")]
    chosen = [balanced(held_out, selfie.texts_per_split) for held_out in splits if held_out]
    held_out = [example for texts in chosen for example in texts]
    shown = balanced(splits[0], len(concepts))
    ids = [example.id for example in held_out]
    train = [example for example in examples if example.split == "train"]
    untouched_states = stored_of("base")
    others = read_by_others(params, train, held_out, device)
    said = {example.words for example in chosen[0]}
    for name in params.variants:
        model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
        encoder = Encoder(tokenizer, params.text)
        states = stored_of(name)
        interpretations = [
            interpretation
            for texts in chosen
            for interpretation in interpret_examples(
                model, encoder, texts, concepts, asking, selfie, params.seed
            )
        ]
        interpretations += interpret_stored(
            model, encoder, untouched_states, held_out, "base_state", asking, selfie
        )
        interpretations += others[name]
        for position in asking.positions:
            probe = fit_probe(*states.at(asking.layer, position, "train"))
            named = probe.predict(states.of_texts(ids, asking.layer, position).astype(float))
            interpretations += named_records(held_out, named.tolist(), position, "probe", asking)
        reading = partial(read_closed, model, encoder, states, held_out, concepts)
        closed = reading("state", asking, selfie)
        if name in ("base", *params.figures.compared):
            adapters = adapters_taught(params, model, encoder, states, train)
            for control, adapter in adapters.items():
                interpretations += interpret_stored(
                    model, encoder, states, held_out, control, asking, selfie, adapter
                )
            closed += reading(AFFINE, asking, selfie, adapters[AFFINE])
        write_records(CLOSED_READINGS / f"{name}.jsonl", closed)
        write_records(INTERPRETATIONS / f"{name}.jsonl", interpretations)
        said |= {interpretation.text for interpretation in interpretations}
        if name in params.figures.compared:
            by_token = interpret_tokens(model, encoder, shown, asking, selfie)
            write_records(TOKEN_INTERPRETATIONS / f"{name}.jsonl", by_token)
        if name in ("base", *params.figures.compared):
            moved_texts = balanced(splits[0], selfie.moved_texts)
            moved = interpret_moved(
                model, encoder, states, moved_texts, asking, selfie, params.seed
            )
            write_records(MOVED_INTERPRETATIONS / f"{name}.jsonl", moved)
    judged: list[Judged] = []
    if selfie.judge == "base":
        untouched, tokenizer = load_base(BASE_MODEL, device)
        encoder = Encoder(tokenizer, params.text)
        judged = judge_texts(untouched, encoder, said, concepts, asking, selfie.texts_per_batch)
    write_records(JUDGED, judged)


def read_by_others(
    params: Params, train: list[Example], held_out: list[Example], device: torch.device
) -> dict[str, list[Interpretation]]:
    """What others than itself make of each variant's states: the untouched model. And, the same
    for every variant, what a reader of the untouched model's states says that was taught the labels
    of as many texts as the longest finetune, and what the nearest training text is about."""
    from pipeline.evaluation.nearest_text import nearest_text_concepts
    from pipeline.selfie.crossings import interpret_stored, named_records
    from pipeline.training.reader_only import teach_reader

    asking, selfie = params.asking, params.selfie
    untouched, tokenizer = load_base(BASE_MODEL, device)
    encoder = Encoder(tokenizer, params.text)
    found = {
        name: interpret_stored(
            untouched, encoder, stored_of(name), held_out, "base_reader", asking, selfie
        )
        for name in params.variants
    }
    states, ids = stored_of("base"), [example.id for example in train]
    taught: Any = teach_reader(
        untouched,
        encoder,
        train,
        [torch.from_numpy(states.of_texts(ids, asking.layer, p)) for p in asking.positions],
        asking,
        params.finetune,
        longest_finetune(params),
        params.seed,
    )
    shared = interpret_stored(taught, encoder, states, held_out, "reader_only", asking, selfie)
    words = {read.id: read for read in read_records(READ_WORDS, ReadWords)}
    for position in asking.positions:
        seen, asked = ([words[e.id].at(position) for e in texts] for texts in (train, held_out))
        named = nearest_text_concepts(seen, [example.concept for example in train], asked)
        shared += named_records(held_out, named, position, "nearest_text", asking)
    return {name: own + shared for name, own in found.items()}


def adapters_taught(
    params: Params,
    model: PreTrainedModel,
    encoder: Encoder,
    stored: Representations,
    train: list[Example],
) -> dict[str, Any]:
    """How a model's own states are read through a scale and a bias that training texts taught, and
    that shuffled labels did, with controls (`affine_adapters`)."""
    from pipeline.selfie.affine_map import AffineMap
    from pipeline.selfie.affine_reading import affine_adapters
    from pipeline.training.reader_only import teach_affine

    asking, ids = params.asking, [example.id for example in train]
    states = [torch.from_numpy(stored.of_texts(ids, asking.layer, p)) for p in asking.positions]
    given = [example.concept for example in train]
    shuffled = rng_of(RandomStream.AFFINE_LABELS, params.seed).permutation(given).tolist()
    taught, control = (
        AffineMap(
            *teach_affine(
                model,
                encoder,
                labels,
                states,
                asking,
                params.finetune,
                params.selfie.affine_learning_rate,
                longest_finetune(params),
                params.seed,
            )
        )
        for labels in (given, shuffled)
    )
    return affine_adapters(taught, control, params.seed)


def longest_finetune(params: Params) -> int:
    """The steps that every reader is taught in."""
    return max(variant.steps for variant in params.variants.values())


def stored_of(variant: str) -> Representations:
    return load_representations(REPRESENTATIONS / f"{variant}.safetensors")


if __name__ == "__main__":
    run(main)
