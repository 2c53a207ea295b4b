"""Fit one edit, as its row of params.yaml says, on training texts alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import balanced, concepts_of
from pipeline.core.records import Document, Example
from pipeline.core.sections import Asking, Control, EditRow, Selfie
from pipeline.edits import mlp_training, rewards
from pipeline.edits.delta import Edit, difference, mlp_of
from pipeline.edits.mlp_training import Inputs, Loss, read_inputs
from pipeline.models.encoding import Encoder


@dataclass(frozen=True)
class Lessons:
    """Training texts to edit by: harmful and safe ones, and of every concept; none of the first
    two where no concept means harm. `reference` holds unlabelled texts that stay as they are."""

    harmful: Sequence[Example]
    safe: Sequence[Example]
    labelled: Sequence[Example]
    reference: Sequence[Document]
    concepts: Sequence[str]

    def serve(self, row: EditRow) -> bool:
        """Whether there are texts for such an edit. Only a reward asks for no harmful ones."""
        needed = [self.labelled] if row.method == "reinforcement" else [self.harmful, self.safe]
        return all(needed)


def choose_lessons(
    examples: Sequence[Example],
    documents: Sequence[Document],
    safe: Sequence[str],
    params: Control,
) -> Lessons:
    """At most params.texts of every kind, of every concept alike, from the training split."""
    train = [e for e in examples if e.split == "train"]
    harmful = [e for e in train if e.concept not in safe] if safe else []
    return Lessons(
        harmful=balanced(harmful, params.texts),
        safe=balanced([e for e in train if e.concept in safe], params.texts),
        labelled=balanced(train, params.texts),
        reference=[d for d in documents if d.split == "pretrain"][: params.reference_texts],
        concepts=concepts_of(examples),
    )


def make_edit(
    model: PreTrainedModel,
    encoder: Encoder,
    lessons: Lessons,
    row: EditRow,
    params: Control,
    asking: Asking,
    selfie: Selfie,
    seed: int,
    made_for: str,
) -> tuple[Edit, dict[str, float]]:
    """An edit of the model, which stays as it is, and how its fit began and ended."""
    generator = torch.Generator().manual_seed(seed)
    own = mlp_of(model, row.layer)
    rewarded = row.method == "reinforcement"
    safe = None if rewarded else _inputs(model, encoder, lessons.safe, row)
    texts = lessons.labelled if rewarded else lessons.harmful
    match row.method:
        case "supervised":
            assert safe is not None
            loss = _towards_targets(model, encoder, texts, safe, row, generator)
        case "reinforcement":
            loss = _for_rewards(model, encoder, lessons, row, asking, selfie, generator)
        case "response":
            careful = encoder.texts([(e.prompt, e.safe_response) for e in texts])
            loss = mlp_training.response_loss(model, encoder, careful, row.layer)
    said = encoder.texts([(d.prompt, d.response) for d in lessons.reference])
    kept = [read_inputs(model, encoder, said, row.layer, None)] if said else []
    trained = mlp_training.wide_copy(own)
    notes = mlp_training.fit(
        trained,
        loss,
        len(texts),
        [inputs for inputs in (*kept, safe) if inputs],
        row,
        params.texts_per_step,
        generator,
    )
    return Edit(row.layer, made_for, difference(trained, own)), notes


def _towards_targets(
    model: PreTrainedModel,
    encoder: Encoder,
    harmful: Sequence[Example],
    safe: Inputs,
    row: EditRow,
    generator: torch.Generator,
) -> Loss:
    inputs = _inputs(model, encoder, harmful, row)
    mlp = mlp_training.wide_copy(mlp_of(model, row.layer))
    with torch.no_grad():
        states, contrary = inputs.states(mlp), safe.states(mlp)
    targets = mlp_training.targets_for(states, contrary, row.target, row.strength, generator)
    return mlp_training.supervised_loss(inputs, targets)


def _for_rewards(
    model: PreTrainedModel,
    encoder: Encoder,
    lessons: Lessons,
    row: EditRow,
    asking: Asking,
    selfie: Selfie,
    generator: torch.Generator,
) -> Loss:
    texts, concepts = lessons.labelled, lessons.concepts
    reward = rewards.concept_reward(model, encoder, texts, concepts, asking, selfie)
    if row.reward == "shuffled":
        reward = rewards.shuffled(reward, generator)
    return mlp_training.reinforced_loss(_inputs(model, encoder, texts, row), reward)


def _inputs(
    model: PreTrainedModel, encoder: Encoder, examples: Sequence[Example], row: EditRow
) -> Inputs:
    """What comes after a position is not read."""
    whole = row.position == "last"
    texts = encoder.texts([(e.prompt, e.response if whole else "") for e in examples])
    return read_inputs(model, encoder, texts, row.layer, row.position)
