"""Finetune one variant's adapter, and keep its learning curve."""

import sys
from collections.abc import Sequence

import torch

from pipeline.core.concepts import safe_concepts
from pipeline.core.console import run, variant_name
from pipeline.core.params import find_variant, load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
    BASE_MODEL,
    CURVE_LOGS,
    DOCUMENTS,
    LEARNED,
    MANIFEST,
    METRICS,
    PAIRS,
    UNFINISHED,
)
from pipeline.core.records import Document, Example, Pair, read_records
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint, run_key
from pipeline.models.encoding import Encoder
from pipeline.models.launching import launched
from pipeline.models.loading import load_base
from pipeline.models.lora import left_out, save_adapter, with_lora
from pipeline.models.ranks import begin
from pipeline.training.curve_log import logging_curve
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import CurvePoint, finetune, write_curve
from pipeline.training.objective import Objective


def main() -> None:
    params, name = load_params(), variant_name()
    variant = find_variant(params.variants, name)
    if launched("stages.adapters", name, params.runtime.processes):
        return
    pairs = PAIRS / f"{variant.labels}-{variant.sampling}.jsonl"
    inputs = [LEARNED, MANIFEST, DOCUMENTS, pairs, BASE_CARD, BASE_MODEL]
    device = begin("adapters", name, params, inputs)
    torch.manual_seed(params.seed)
    sharded = params.runtime.sharded and distributed.count() > 1
    model, tokenizer = load_base(BASE_MODEL, torch.device("cpu") if sharded else device)
    frozen, share = left_out(model, params.finetune.top_layer)
    if frozen and distributed.is_first():
        print(
            f"no adapter lies on {', '.join(frozen)}, {share:.0%} of the weights", file=sys.stderr
        )
    adapted = with_lora(model, params.finetune)
    if sharded:
        distributed.shard(adapted, device)
    encoder = Encoder(tokenizer, params.text)
    data = FinetuneData(
        {example.id: example for example in read_records(LEARNED, Example)},
        read_records(pairs, Pair),
        [d for d in read_records(DOCUMENTS, Document) if d.split == "pretrain"],
        safe_concepts(MANIFEST),
    )
    objective = Objective(
        adapted,
        encoder,
        params.finetune,
        variant,
        params.asking,
        params.runtime.checkpointing,
        params.runtime.pairs_per_pass,
    )
    key = run_key(
        "adapters",
        params.seed,
        [params.text, params.finetune, params.asking, params.runtime, variant],
        inputs,
        device,
    )
    checkpoint = Checkpoint(
        UNFINISHED / f"{name}.safetensors", key, params.runtime.checkpoint_every
    )
    curve_file = METRICS / "adapters" / f"{name}.csv"
    log = params.runtime.log if distributed.is_first() else "none"
    with logging_curve(log, CURVE_LOGS / name, name) as log_curve:

        def watch(curve: Sequence[CurvePoint]) -> None:
            write_curve(curve_file, curve)
            log_curve(curve)

        curve = finetune(objective, data, params.finetune, params.seed, checkpoint, watch)
    save_adapter(ADAPTERS / name, adapted)
    if distributed.is_first():
        write_curve(curve_file, curve)
    checkpoint.forget()
    distributed.leave()


if __name__ == "__main__":
    run(main)
