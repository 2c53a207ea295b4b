"""Pretrained models finetuned and read for benchmarks/real_models.py, by the pipeline's library."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from ruamel.yaml import YAML
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.real_measures import Fold, States, bits, half_of
from benchmarks.real_units import Setting, variant_of
from pipeline.core.files import read_json, whole, write_json
from pipeline.core.params import Params
from pipeline.core.presets import lay_over
from pipeline.core.records import Document, Example, Question
from pipeline.core.sections import Extraction, Finetune, Position
from pipeline.corpora.pairs import draw_pairs
from pipeline.inference.choices import choices
from pipeline.inference.extraction import read_batch
from pipeline.inference.generation import likelihoods
from pipeline.models.building import prepare
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder, token_batches
from pipeline.models.external_base import adopt
from pipeline.models.loading import load_base
from pipeline.models.lora import save_adapter, with_lora
from pipeline.models.reader_check import reader_for
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective

FIRST_SEED = 100  # of fold 0; none of these seeds was used before
TEXTS_WEIGHED = 50  # of each kind, for perplexity and KL
ASKED = 60  # multiple-choice questions, evenly spaced
PAIRS, RETAINED = 12, 2
POSITIONS: tuple[Position, ...] = ("last", "mean")


@dataclass(frozen=True)
class Pretrained:
    """A preset, its number of blocks, and the layers that are read."""

    preset: str
    layers: int
    read: tuple[int, ...]
    reading: int


PRESETS = {
    "smollm2": Pretrained("smollm2-135m-package", 30, (5, 10, 15, 20, 25, 30), 20),
    "gemma3": Pretrained("gemma-3-270m-package", 18, (3, 6, 9, 12, 15, 18), 12),
}


class Bench:
    """A pretrained model, and what is made of it."""

    def __init__(
        self, name: str, work: Path, others: Sequence[Example], questions: Sequence[Question]
    ):
        """others: texts of another corpus; questions: what is asked of the model's ability."""
        self.name, self.work, self.others = name, work, others
        self.questions = questions[:: max(1, len(questions) // ASKED)][:ASKED]
        self.own = PRESETS[name]
        self.params = params_of(self.own.preset)
        self.device = prepare(self.params.runtime.model_copy(update={"threads": 1}))
        self.folder = work / "models" / name
        self.reading_layer = self.own.reading
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder.with_name(f"{name}.lock")):
            if not self.folder.exists():
                adopt(self.folder, self.params)

    def adapter(self, name: str) -> Path:
        """Where a unit's adapter is kept, on the machine that trained it."""
        return self.work / "adapters" / name

    def load(self) -> tuple[PreTrainedModel, Encoder]:
        model, tokenizer = load_base(self.folder, self.device)
        return model, Encoder(tokenizer, self.params.text)

    def untouched(self, corpus: str, fold: Fold) -> States:
        """The untouched model's states of all texts, read once for all folds."""
        file = self.work / "states" / f"{self.name}-{corpus}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if not file.exists():
                states = self.states(*self.load(), fold.examples)
                with whole(file) as draft, draft.open("wb") as out:
                    np.save(out, states.values)
        return States(np.load(file), self.own.read, POSITIONS)

    def untouched_ability(self) -> str:
        """Which of the questions the untouched model gets right, asked once for all folds."""
        return str(self.once("ability", self.questions, lambda: self.ability(*self.load())))

    def untouched_nll(self, documents: Sequence[Document]) -> float:
        """The untouched model's negative log-likelihood of documents, summed, computed once."""

        def computed() -> float:
            model, encoder = self.load()
            return sum(one.nll for one in likelihoods(model, model, encoder, documents, 2048))

        return float(self.once("likelihood", documents, computed))

    def once(self, what: str, of: Sequence[Any], computed: Callable[[], Any]) -> Any:
        """What the untouched model makes of texts, kept for all units that ask for it."""
        said = hashlib.sha256(repr(of).encode()).hexdigest()[:16]
        file = self.work / what / f"{self.name}-{said}.json"
        if not file.exists():
            write_json(file, {what: computed()})
        return read_json(file)[what]

    def ability(self, model: Any, encoder: Encoder) -> str:
        """Which of the questions a model gets right: whose right option is the likeliest."""
        asked = choices(model, encoder, self.questions, 2048)
        likeliest = {q: min(own, key=lambda one: one.nll)
                     for q, own in groupby(asked, key=lambda one: one.question)}  # fmt: skip
        return bits([likeliest[question.id].right for question in self.questions])

    def random_weights(self, fold: Fold) -> States:
        """The states of the same architecture with weights that were never trained."""
        model, encoder = self.load()
        torch.manual_seed(FIRST_SEED)
        fresh = AutoModelForCausalLM.from_config(model.config, dtype=model.dtype).eval()
        return self.states(fresh, encoder, fold.examples)

    def tuned(
        self, name: str, variant: str, fold: Fold, setting: Setting, number: int
    ) -> tuple[States, dict[str, Any]]:
        """The states of a finetuned model, and what the finetune cost."""
        seed = FIRST_SEED + number
        model, encoder = self.load()
        torch.manual_seed(seed)
        params = self.finetune(setting)
        row = variant_of(variant, setting.steps)
        adapted: Any = with_lora(model, params)
        objective = Objective(adapted, encoder, params, row, self.params.asking)
        pairs = self.params.pairs.model_copy(update={"count": setting.steps * PAIRS})
        chosen = half_of(fold) if setting.half else fold.of("train")
        train = [example for example, own in zip(fold.examples, chosen, strict=True) if own]
        data = FinetuneData(
            {example.id: example for example in fold.examples},  # validation texts are watched
            draw_pairs(train, row.labels, row.sampling, pairs, seed),
            documents_of(train),
        )
        said = repr((name, variant, setting, seed, torch.__version__)).encode()
        key = hashlib.sha256(said).hexdigest()
        checkpoint = Checkpoint(self.work / "unfinished" / f"{name}.safetensors", key, 25)
        curve = finetune(objective, data, params, seed, checkpoint)
        objective.use_dropout(False)
        save_adapter(self.adapter(name), adapted)
        costs: dict[str, Any] = {
            "gap": [point.gap for point in curve],
            "kl_watched": [point.kl for point in curve],
            **self.costs(adapted, encoder, fold),
            "ability": self.ability(adapted, encoder),
        }
        states = self.states(adapted, encoder, fold.examples)
        checkpoint.forget()
        return states, costs

    def costs(self, adapted: Any, encoder: Encoder, fold: Fold) -> dict[str, float]:
        """KL from the untouched model, in nats per token, and perplexity as a multiple of its own:
        on held-out texts and on texts of another corpus."""
        untouched, _ = self.load()
        held_out = "test" if fold.of("test").any() else "validation"
        own = [example for example in fold.examples if example.split == held_out]
        costs = {}
        for kind, texts in {"held_out": own, "other": self.others}.items():
            documents = documents_of(texts[:TEXTS_WEIGHED])
            tuned = likelihoods(adapted, untouched, encoder, documents, 2048)
            tokens = sum(likelihood.tokens for likelihood in tuned)
            rise = sum(likelihood.nll for likelihood in tuned) - self.untouched_nll(documents)
            costs[f"kl_{kind}"] = sum(likelihood.kl for likelihood in tuned) / tokens
            costs[f"perplexity_{kind}"] = float(np.exp(rise / tokens))
        return costs

    def finetune(self, setting: Setting) -> Finetune:
        return self.params.finetune.model_copy(
            update={
                "target_layers": setting.layers,
                "positions": setting.positions,
                "states": setting.states,
                "learning_rate": setting.learning_rate,
                "pairs_per_step": PAIRS,
                "retain_per_step": RETAINED,
                "lora_dropout": setting.dropout,
                "penalty_texts": ("retain",),
                "watch_every": 50,
            }
        )

    def states(self, model: Any, encoder: Encoder, examples: Sequence[Example]) -> States:
        """The states of texts at all read layers: [layers, positions, texts, width]."""
        params = Extraction(layers=self.own.read, positions=POSITIONS, tokens_per_batch=2048)
        texts = encoder.texts([(example.prompt, example.response) for example in examples])
        read = reader_for(model, encoder.longest)
        values = None
        for chosen in token_batches(texts, params.tokens_per_batch):
            found = read_batch(model, read, [texts[index] for index in chosen], params)
            if values is None:
                shape = (*found.shape[:2], len(texts), found.shape[-1])
                values = np.empty(shape, dtype=np.float32)
            values[:, :, chosen] = found
        assert values is not None
        return States(values, self.own.read, POSITIONS)


def documents_of(examples: Sequence[Example]) -> list[Document]:
    return [Document(e.id, e.prompt, e.response, "pretrain") for e in examples]


def params_of(preset: str) -> Params:
    """The committed params with a preset laid over them."""
    read: Callable[[Path], Any] = lambda path: YAML(typ="safe").load(path.read_text("utf-8"))  # noqa: E731
    tree = read(Path("params.yaml"))
    lay_over(tree, read(Path("presets") / f"{preset}.yaml"))
    return Params.model_validate(tree)
