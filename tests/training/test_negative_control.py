"""The negative control: a finetune on shuffled labels parts nothing that was held out."""

from pathlib import Path

import numpy as np
import torch

from pipeline.core.params import Params
from pipeline.core.records import Document
from pipeline.core.sections import Labelling
from pipeline.corpora import embedded_corpus
from pipeline.corpora.pairs import draw_pairs
from pipeline.evaluation.separation import nearest_centroid
from pipeline.inference.extraction import read_batch
from pipeline.models.building import new_model
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.lora import with_lora
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective

STEPS = 150


def test_given_labels_part_held_out_texts_and_shuffled_ones_do_not(
    params: Params, encoder: Encoder, documents: list[Document]
) -> None:
    """The finetune alone decides, on a random model that knows nothing of any concept."""
    corpora = params.corpora.embedded.model_copy(
        update={"concepts": "topics", "train": 40, "test": 40, "ambiguity": 0.0}
    )
    examples = [e for e in embedded_corpus.labelled(corpora, 0, []) if e.split != "novel"]
    splits, concepts = (
        np.array([getattr(e, name) for e in examples]) for name in ("split", "concept")
    )
    finetuning = params.finetune.model_copy(
        update={
            "positions": ("mean",),
            "learning_rate": 0.002,
            "pairs_per_step": 14,
            "lora_rank": 16,
            "lora_alpha": 32,
        }
    )
    variant = params.variants["sft_contrast"].model_copy(
        update={"retain_weight": 0.0, "penalty_weight": 0.0, "response_weight": 0.0}
    )
    wide = params.model.embedded.model_copy(update={"width": 64, "feed_forward": 128})
    drawn = params.pairs.model_copy(update={"count": STEPS * 14})
    reading = params.extraction.model_copy(update={"layers": (1,), "positions": ("mean",)})

    def accuracy(labels: Labelling, steps: int) -> float:
        torch.manual_seed(0)
        adapted = with_lora(new_model(wide, encoder.tokenizer), finetuning)
        row = variant.model_copy(update={"steps": steps})
        objective = Objective(adapted, encoder, finetuning, row, params.asking)
        pairs = draw_pairs(examples, labels, "balanced", drawn, seed=0)
        data = FinetuneData({e.id: e for e in examples}, pairs, documents)
        never = Checkpoint(Path("nowhere"), "", every=0)
        finetune(objective, data, finetuning, 0, never)
        texts = [encoder(e.prompt, e.response) for e in examples]
        vectors = read_batch(adapted, objective.read_row, texts, reading)
        train, test = (vectors[0, 0, splits == split] for split in ("train", "test"))
        guessed = nearest_centroid(train, concepts[splits == "train"], test)
        return float((guessed == concepts[splits == "test"]).mean())

    untouched = accuracy("given", steps=0)
    assert accuracy("given", STEPS) > untouched + 0.2
    assert accuracy("shuffled", STEPS) < untouched + 0.05
