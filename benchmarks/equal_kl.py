"""Every variant of a run as it is, and scaled to one KL divergence from the untouched model.

A loss that moves a model further may part concepts further for that alone. So every variant is
measured twice: as its finetune left it, and with its change of the weights multiplied by the scale
at which its mean KL per token from the untouched model is that of a reference variant. That KL is
of the documents that are held out for perplexity, of which no accuracy is.

Runs in a project's folder whose adapters are trained:

    python -m benchmarks.equal_kl --reference true_negatives --variants base nt_xent --out found

writes a file a variant, and leaves those that are there.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import PreTrainedModel

from benchmarks.scaling import matching_scale, scaled
from pipeline.core import paths
from pipeline.core.concepts import safe_concepts
from pipeline.core.console import progress, run
from pipeline.core.files import write_json
from pipeline.core.params import Params, load_params
from pipeline.core.records import Document, Example, ReadWords, Request, read_records
from pipeline.core.representations import (
    Representations,
    RepresentationsFile,
    load_representations,
)
from pipeline.core.sections import Reading
from pipeline.evaluation.best_probe import probe_shares
from pipeline.evaluation.bootstrap import draw_prompts
from pipeline.evaluation.fidelity import fidelity
from pipeline.evaluation.intervals import statistic
from pipeline.evaluation.linear_probe import fit_probe
from pipeline.evaluation.separation import separation
from pipeline.inference.extraction import extract
from pipeline.inference.generation import likelihoods, openings
from pipeline.models.building import prepare
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.hooks import config_of
from pipeline.models.loading import load_base, load_variant
from pipeline.monitors.text_baseline import text_only

SPLITS = ("test", "novel", "shifted")
GEOMETRY = ("centroid_accuracy", "knn_accuracy", "silhouette")
WORDS = "words alone.json"  # no variant has such a name
RESAMPLES = 10  # the fewest there can be: only values are read

Numbers = dict[str, float]  # by name
Found = dict[str, Any]  # the scale, costs by name, numbers by split
Measure = Callable[["Bench", PreTrainedModel, float], Found]  # of a model at a scale


def separated(
    stored: Representations, prompts: Mapping[str, str], reading: Reading, seed: int
) -> dict[str, Numbers]:
    """By split: the probe where the variant is read, its best probe, and the geometry there.

    prompts: of every text, by its id.
    """
    read = (reading.layer, reading.position)
    train = stored.at(*read, "train")
    probes = {
        at: fit_probe(*stored.at(*at, "train")) for at in product(stored.layers, stored.positions)
    }
    counts = {
        split: draw_prompts([prompts[id] for id in stored.ids_of(split)], RESAMPLES, seed)
        for split in SPLITS
        if split in stored.splits
    }
    shares = probe_shares(stored, probes, reading, counts)
    found: dict[str, Numbers] = {}
    for split, drawn in counts.items():
        held = stored.at(*read, split)
        geometry = separation(train, held, probes[read], reading.neighbours, drawn, seed)
        found[split] = {
            "probe_accuracy": shares["read", split].value,
            "best_probe": shares["best", split].value,
            **{name: statistic(geometry.resampled[name]).value for name in GEOMETRY},
        }
    return found


@dataclass(frozen=True)
class Bench:
    """The untouched model and the texts that its variants are measured on."""

    params: Params
    untouched: PreTrainedModel
    encoder: Encoder
    examples: Sequence[Example]
    heldout: Sequence[Document]
    asked: Sequence[Request | Document]

    @cached_property
    def texts(self) -> list[Encoded]:
        return list(self.encoder.texts([(e.prompt, e.response) for e in self.examples]))

    def costs(self, model: PreTrainedModel) -> Numbers:
        """What the model lost, as the stage fidelity measures it."""
        batch = self.params.generation.tokens_per_batch
        weighed = likelihoods(model, self.untouched, self.encoder, self.heldout, batch)
        opened = openings(model, self.untouched, self.encoder, self.asked, batch)
        measured = fidelity(weighed, opened, RESAMPLES, self.params.seed)
        return {name: float(values[0]) for name, values in measured.items()}

    def kl(self, model: PreTrainedModel) -> float:
        """Nats per token of the held-out documents."""
        batch = self.params.generation.tokens_per_batch
        weighed = likelihoods(model, self.untouched, self.encoder, self.heldout, batch)
        return sum(one.kl for one in weighed) / sum(one.tokens for one in weighed)

    def states(self, model: PreTrainedModel) -> Representations:
        own = self.params.extraction
        with TemporaryDirectory() as folder:
            file = RepresentationsFile(
                Path(folder) / "states.safetensors",
                layers=own.layers,
                positions=own.positions,
                ids=tuple(example.id for example in self.examples),
                concepts=tuple(example.concept for example in self.examples),
                splits=tuple(example.split for example in self.examples),
                width=config_of(model).hidden_size,
            )
            unkept = Checkpoint(Path(folder) / "none", "", every=0)
            extract(model, self.encoder, self.texts, own, file, unkept)
            return load_representations(file.path)

    def measured(self, model: PreTrainedModel, scale: float) -> Found:
        prompts = {example.id: example.prompt for example in self.examples}
        numbers = separated(self.states(model), prompts, self.params.reading, self.params.seed)
        return {"scale": scale, "costs": self.costs(model), "splits": numbers}

    def both(
        self, tuned: PreTrainedModel, wanted: float, measure: Measure = measured
    ) -> dict[str, Found]:
        """A variant as it is, and at the wanted KL; nothing there of one that cannot be matched."""
        own = measure(self, tuned, 1.0)
        match = matching_scale(lambda scale: self.kl(scaled(self.untouched, tuned, scale)), wanted)
        if not match.reached:
            return {"own": own}
        if match.scale == 1:
            return {"own": own, "equal_kl": own}
        there = scaled(self.untouched, tuned, match.scale)
        return {"own": own, "equal_kl": measure(self, there, match.scale)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--reference", required=True, help="the variant whose KL all are to have")
    parser.add_argument("--variants", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    bench = measure_variants(options.reference, options.variants, options.out, Bench.measured)
    if not (options.out / WORDS).is_file():
        write_json(options.out / WORDS, words(bench))


def measure_variants(reference: str, variants: Sequence[str], out: Path, measure: Measure) -> Bench:
    """Measure variants of this folder's run as they are and at the reference's KL, a file each;
    those that are there are left."""
    params = load_params()
    device = prepare(params.runtime)
    untouched, tokenizer = load_base(paths.BASE_MODEL, device)
    heldout = [d for d in read_records(paths.DOCUMENTS, Document) if d.split == "heldout"]
    requests = read_records(paths.REQUESTS, Request)
    bench = Bench(
        params,
        untouched,
        Encoder(tokenizer, params.text),
        read_records(paths.EXAMPLES, Example) + read_records(paths.SHIFTED, Example),
        heldout,
        requests or heldout,
    )

    def loaded(name: str) -> PreTrainedModel:
        return load_variant(paths.BASE_MODEL, paths.ADAPTERS / name, device)[0]

    wanted = bench.kl(loaded(reference))
    missing = [n for n in variants if not (out / f"{n}.json").is_file()]
    for name in progress(missing, "measuring"):
        if params.variants[name].steps:
            found = bench.both(loaded(name), wanted, measure)
        else:  # untouched: no scale changes it
            own = measure(bench, loaded(name), 1.0)
            found = {"own": own, "equal_kl": own}
        write_json(out / f"{name}.json", found)
    return bench


def words(bench: Bench) -> Numbers:
    """By split: what TF-IDF and logistic regression name on the words that the model reads."""
    read, safe = read_records(paths.READ_WORDS, ReadWords), safe_concepts(paths.MANIFEST)
    reading = bench.params.reading.model_copy(update={"resamples": RESAMPLES})
    tree = text_only(read, bench.examples, [], safe, reading, bench.params.seed)
    scored = tree["concept"]["whole"]
    return {split: scored[split]["accuracy"]["value"] for split in SPLITS if split in scored}


if __name__ == "__main__":
    run(main)
