"""A little of everything that a run computes, as digests: what decides the bits shows here.

    python -m tests.support.bits

prints a JSON object a line: the processor, kernels and libraries that did the work; then the first
steps of a base model, a finetune, hidden states and their readings in words, an affine reader, a
suffix that misleads a monitor, a probe and the map of a figure, each with the digest of all its
numbers and one number to compare by where bits can't be equal. All inputs are made here, so that a
new corpus or knob changes no digest.
"""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from benchmarks.processor import processor
from pipeline.core.params import Params
from pipeline.core.records import Document, Example, Pair, Split
from pipeline.core.sections import Attacks
from pipeline.evaluation.linear_probe import fit_probe
from pipeline.inference.differentiable import HarmReader
from pipeline.inference.suffixes import Target, soft_suffix
from pipeline.models.building import prepare
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import hidden_states
from pipeline.models.lora import with_lora
from pipeline.reporting.maps import main_axes, neighbour_plane
from pipeline.selfie.controls import interpret_examples
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective
from pipeline.training.pretraining import pretrain
from pipeline.training.reader_only import teach_affine
from tests.support.tiny import plain, tiny_tree

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "numpy", "scipy", "scikit-learn")
CONCEPTS = {
    "garden": ("soil", "rose", "spade", "hedge"),
    "harbour": ("rope", "tide", "crane", "buoy"),
    "kitchen": ("pan", "salt", "oven", "knife"),
}
SPLITS: tuple[Split, ...] = ("train", "train", "train", "validation")
VERBS = ("finds", "moves", "paints", "lends", "cleans")
SEARCH = Attacks(texts=3, monitors=("logistic",), suffix_tokens=2, passes=12, swaps=1)
NEVER = Checkpoint(Path("nowhere"), "", every=0)


def main() -> None:
    print(json.dumps(machine()), flush=True)
    for part in parts():
        print(json.dumps(part), flush=True)


def machine() -> dict[str, Any]:
    """What the numbers were made on: of the processor its name and what it could do."""
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def parts() -> Iterator[dict[str, Any]]:
    """Every part's name and digest, and one number of it, as soon as it is computed."""
    params, examples, documents = bits_params(), made_examples(), made_documents()
    device = prepare(params.runtime)
    model, tokenizer = pretrain(
        documents, examples, params.model.embedded, params.pretraining, params.asking,
        params.text, 0, device,
    )  # fmt: skip
    yield {"part": "pretraining", **digest_of(model.parameters())}
    encoder = Encoder(tokenizer, params.text)
    torch.manual_seed(0)
    adapted = with_lora(model, params.finetune)
    variant = params.variants["sft_contrast"]
    objective = Objective(adapted, encoder, params.finetune, variant, params.asking)
    data = FinetuneData({e.id: e for e in examples}, made_pairs(examples), documents)
    finetune(objective, data, params.finetune, 0, NEVER)
    adapted.eval()
    yield {"part": "finetune", **digest_of(w for w in adapted.parameters() if w.requires_grad)}
    layer = params.asking.layer
    batch = encoder.batch(encoder.texts([(e.prompt, e.response) for e in examples]), device)
    states = batch.at(hidden_states(adapted, batch.ids, batch.mask, [layer])[layer], "last")
    yield {"part": "states", **digest_of([states])}
    read = interpret_examples(
        adapted, encoder, examples[:6], list(CONCEPTS), params.asking, params.selfie, seed=0
    )
    said = json.dumps([dataclasses.asdict(one) for one in read], sort_keys=True).encode()
    yield {"part": "readings", "digest": sha256(said), "number": len(read)}
    labels = [e.concept for e in examples]
    scale, bias = teach_affine(
        adapted, encoder, labels, [states.detach()], params.asking, params.finetune, 0.01, 3, seed=0
    )
    yield {"part": "affine reader", **digest_of([scale, bias])}
    yield {"part": "soft suffix", **digest_of([found_suffix(adapted, encoder, layer)])}
    vectors = states.detach().numpy().astype(np.float64)
    yield {"part": "probe", **digest_of([fit_probe(vectors, np.array(labels)).scores(vectors)])}
    yield {
        "part": "map",
        **digest_of([neighbour_plane(vectors, vectors @ main_axes(vectors), seed=0)]),
    }


def found_suffix(model: PreTrainedModel, encoder: Encoder, layer: int) -> torch.Tensor:
    """The vectors [N, S, D] behind three questions that hide from the sum of a state's numbers."""

    def read(
        states: Mapping[int, torch.Tensor], _: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        return states[layer][torch.arange(len(ends)), ends].sum(-1)

    readers = {"logistic": HarmReader((layer,), read)}
    target = Target(model, encoder, readers, tokens_per_batch=300)
    rows = target.slotted([f"Who {verb} the rose?" for verb in VERBS[:3]], 2)
    allowed = torch.tensor(encoder.whole_words())
    start = allowed[:6].reshape(3, 2)
    return soft_suffix(target, "logistic", rows, start, allowed, SEARCH).best


def bits_params() -> Params:
    """Wide enough that sums are split into blocks, small enough for a second."""
    tree = tiny_tree()
    tree["model"]["embedded"] |= {"width": 64, "feed_forward": 176}
    tree["pretraining"] |= {"steps": 6, "interpretation_after": 2, "documents_per_step": 16}
    tree["runtime"]["threads"] = 2
    return Params.model_validate(plain(tree))


def made_examples() -> list[Example]:
    sentences = [
        (concept, f"Who {verb} the {first} by the {second}?", f"She {verb} it near the {concept}.")
        for concept, words in CONCEPTS.items()
        for verb, first, second in product(VERBS, words[:2], words[2:])
    ]  # fmt: skip
    return [
        Example(str(number), prompt, response, response, concept, SPLITS[number % 4], "made")
        for number, (concept, prompt, response) in enumerate(sentences)
    ]


def made_documents() -> list[Document]:
    return [
        Document(f"d{number}", f"Tell of {first}.", f"It {verb} the {second}. " * 6, "pretrain")
        for number, (first, second, verb) in enumerate(
            product(CONCEPTS["garden"], CONCEPTS["harbour"], VERBS)
        )
    ]  # fmt: skip


def made_pairs(examples: Sequence[Example]) -> list[Pair]:
    """Neighbours of one concept, concepts by turns."""
    by_concept = [[e for e in examples if e.concept == concept] for concept in CONCEPTS]
    return [
        Pair(some[number].id, some[number + 1].id, some[number].concept, "whole")
        for number in range(len(by_concept[0]) - 1)
        for some in by_concept
    ]


def digest_of(arrays: Iterable[torch.Tensor | NDArray[Any]]) -> dict[str, Any]:
    """The digest of all numbers in order, and the mean of their absolute values."""
    plain_arrays = [np.asarray(torch.as_tensor(a).detach()) for a in arrays]
    total = sum(float(np.abs(a.astype(np.float64)).sum()) for a in plain_arrays)
    return {
        "digest": sha256(b"".join(a.tobytes() for a in plain_arrays)),
        "number": total / sum(a.size for a in plain_arrays),
    }


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


if __name__ == "__main__":
    main()
