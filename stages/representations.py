"""Extract one variant's representations of every measured text."""

from pipeline.core.console import InputError, run, variant_name
from pipeline.core.files import remove
from pipeline.core.params import load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
    BASE_MODEL,
    EXAMPLES,
    REPRESENTATIONS,
    SHIFTED,
    UNREAD,
)
from pipeline.core.records import Example, read_records
from pipeline.core.representations import RepresentationsFile
from pipeline.core.scored_sets import prompts_alone
from pipeline.inference.extraction import extract
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint, run_key
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import config_of
from pipeline.models.launching import launched
from pipeline.models.loading import load_variant
from pipeline.models.ranks import begin


def main() -> None:
    params, name = load_params(), variant_name()
    if launched("stages.representations", name, params.runtime.processes):
        return
    inputs = [EXAMPLES, SHIFTED, BASE_CARD, BASE_MODEL, ADAPTERS / name]
    device = begin("representations", name, params, inputs)
    model, tokenizer = load_variant(BASE_MODEL, ADAPTERS / name, device)
    encoder = Encoder(tokenizer, params.text)
    examples = read_records(EXAMPLES, Example) + read_records(SHIFTED, Example)
    if (alone := prompts_alone(examples)) and "prompt_end" not in params.extraction.positions:
        raise InputError(
            f"extraction.positions lacks prompt_end, where {', '.join(sorted(alone))} is read, "
            "whose texts are prompts without an answer; add it"
        )
    space = RepresentationsFile(
        UNREAD / f"{name}.safetensors",
        layers=params.extraction.layers,
        positions=params.extraction.positions,
        ids=tuple(example.id for example in examples),
        concepts=tuple(example.concept for example in examples),
        splits=tuple(example.split for example in examples),
        width=config_of(model).hidden_size,
    )
    sections = [params.text, params.extraction, params.runtime]
    checkpoint = Checkpoint(
        UNREAD / f"{name}.state",
        run_key("representations", 0, sections, inputs, device),
        params.runtime.checkpoint_every,
    )
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    extract(model, encoder, texts, params.extraction, space, checkpoint)
    if distributed.is_first():
        remove(REPRESENTATIONS / f"{name}.safetensors")
        REPRESENTATIONS.mkdir(parents=True, exist_ok=True)
        space.path.replace(REPRESENTATIONS / f"{name}.safetensors")
    checkpoint.forget()
    distributed.leave()


if __name__ == "__main__":
    run(main)
