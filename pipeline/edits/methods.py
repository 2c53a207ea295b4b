"""The methods of editing an MLP, and the fit of one edit on training texts alone; and the direction
in which a steering vector would do what the edit does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.concepts import balanced, concepts_of
from pipeline.core.records import Document, Example
from pipeline.core.sections import Asking, Control, EditRow, Selfie
from pipeline.edits import mlp_training, rewards
from pipeline.edits.delta import Edit, mlp_of, weight_difference
from pipeline.edits.mlp_training import MlpInputs, MlpLoss, float32_copy, read_inputs
from pipeline.models.encoding import Encoder
from pipeline.selfie.controls import example_states

TextKind = Literal["harmful", "safe", "labelled"]


@dataclass(frozen=True)
class EditTexts:
    """Training texts that edits are fitted on.

    harmful and safe: none where no concept of the corpus means harm. labelled: of every concept.
    reference: unlabelled texts whose states are to stay as they are. concepts: all of the corpus.
    """

    harmful: Sequence[Example]
    safe: Sequence[Example]
    labelled: Sequence[Example]
    reference: Sequence[Document]
    concepts: Sequence[str]

    def of_kind(self, kind: TextKind) -> Sequence[Example]:
        return {"harmful": self.harmful, "safe": self.safe, "labelled": self.labelled}[kind]


@dataclass(frozen=True)
class EditTask:
    """What a method makes the loss of an edit from. The model is untouched. kept: the inputs of its
    MLP for the texts that the method keeps (EditMethod.keeps)."""

    model: PreTrainedModel
    encoder: Encoder
    texts: EditTexts
    row: EditRow
    asking: Asking
    selfie: Selfie
    kept: MlpInputs | None
    generator: torch.Generator

    def inputs(self, examples: Sequence[Example]) -> MlpInputs:
        """The inputs of the edited MLP at the row's position, one for each example."""
        # A state does not depend on what comes after it: at the prompt's end no response is read.
        answered = self.row.position == "last"
        texts = self.encoder.texts([(e.prompt, e.response if answered else "") for e in examples])
        return read_inputs(self.model, self.encoder, texts, self.row.layer, self.row.position)

    def states(self, examples: Sequence[Example]) -> Tensor:
        """Their hidden states [N, D] at the row's layer and position."""
        at = self.row.layer, self.row.position
        per_batch = self.selfie.texts_per_batch
        found = example_states(self.model, self.encoder, examples, [at[0]], [at[1]], per_batch)
        return found[at].float()


@dataclass(frozen=True)
class EditMethod:
    """A way to edit: the loss that the MLP is trained with, the kind of texts that its steps go
    through, and the kind whose states are to stay as they are, beside the reference texts'.

    direction: the difference of means [D] of the same texts' states along which a steering vector
    would do the same. aims_at: what the edit is to change, answers to harmful requests or readings
    of hidden states."""

    loss: Callable[[EditTask], MlpLoss]
    direction: Callable[[EditTask], Tensor]
    aims_at: Literal["answers", "readings"]
    fits: TextKind
    keeps: TextKind | None = None


def _supervised(task: EditTask) -> MlpLoss:
    """Harmful texts' states move to targets (row.target, row.strength)."""
    assert task.kept is not None
    inputs = task.inputs(task.texts.harmful)
    mlp = float32_copy(mlp_of(task.model, task.row.layer))
    with torch.no_grad():
        states, contrary = inputs.states(mlp), task.kept.states(mlp)
    targets = mlp_training.targets_for(
        states, contrary, task.row.target, task.row.strength, task.generator
    )
    return mlp_training.supervised_loss(inputs, targets)


def _reinforcement(task: EditTask) -> MlpLoss:
    """States grow or shrink by the reward of their interpretation (row.reward)."""
    texts = task.texts.labelled
    reward = rewards.concept_reward(
        task.model, task.encoder, texts, task.texts.concepts, task.asking, task.selfie
    )
    if task.row.reward == "shuffled":
        reward = rewards.shuffled(reward, task.generator)
    return mlp_training.reinforcement_loss(task.inputs(texts), reward)


def _response(task: EditTask) -> MlpLoss:
    """Harmful texts' prompts are answered by their safe responses."""
    texts = task.encoder.texts([(e.prompt, e.safe_response) for e in task.texts.harmful])
    return mlp_training.response_loss(task.model, task.encoder, texts, task.row.layer)


def _away_from_safe(task: EditTask) -> Tensor:
    """The mean state of harmful texts minus that of safe ones."""
    return task.states(task.texts.harmful).mean(0) - task.states(task.texts.safe).mean(0)


def _towards_rewarded(task: EditTask) -> Tensor:
    """The mean state of texts whose interpretation earns a reward minus that of all others; zeros
    where all do, or none."""
    texts = task.texts.labelled
    states = task.states(texts)
    reward = rewards.concept_reward(
        task.model, task.encoder, texts, task.texts.concepts, task.asking, task.selfie
    )
    rewarded = reward(states, torch.arange(len(texts))) > 0
    if rewarded.all() or not rewarded.any():
        return torch.zeros_like(states[0])
    return states[rewarded].mean(0) - states[~rewarded].mean(0)


# What each method sets in its row of params.yaml: pipeline.core.sections.EDIT_SETTINGS.
METHODS: dict[str, EditMethod] = {
    "supervised": EditMethod(_supervised, _away_from_safe, "answers", fits="harmful", keeps="safe"),
    "reinforcement": EditMethod(_reinforcement, _towards_rewarded, "readings", fits="labelled"),
    "response": EditMethod(_response, _away_from_safe, "answers", fits="harmful", keeps="safe"),
}


def choose_edit_texts(
    examples: Sequence[Example],
    documents: Sequence[Document],
    safe: Sequence[str],
    params: Control,
) -> EditTexts:
    """At most params.texts of each kind, balanced over concepts, from the training split, and
    params.reference_texts documents. `safe` are the concepts that mean no harm; empty where none
    means harm."""
    train = [e for e in examples if e.split == "train"]
    harmful = [e for e in train if e.concept not in safe] if safe else []
    return EditTexts(
        harmful=balanced(harmful, params.texts),
        safe=balanced([e for e in train if e.concept in safe], params.texts),
        labelled=balanced(train, params.texts),
        reference=[d for d in documents if d.split == "pretrain"][: params.reference_texts],
        concepts=concepts_of(examples),
    )


def can_fit(row: EditRow, texts: EditTexts) -> bool:
    """Whether there are texts of every kind that the row's method needs."""
    method = METHODS[row.method]
    return all(texts.of_kind(kind) for kind in (method.fits, method.keeps) if kind)


def steering_direction(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: EditTexts,
    row: EditRow,
    asking: Asking,
    selfie: Selfie,
) -> Tensor:
    """The steering vector [D] of strength 1 that does what an edit does (EditMethod.direction)."""
    task = EditTask(model, encoder, texts, row, asking, selfie, None, torch.Generator())
    return METHODS[row.method].direction(task)


def make_edit(
    model: PreTrainedModel,
    encoder: Encoder,
    texts: EditTexts,
    row: EditRow,
    params: Control,
    asking: Asking,
    selfie: Selfie,
    seed: int,
    made_for: str,
) -> tuple[Edit, dict[str, float]]:
    """An edit of the model, which itself stays as it is, and the notes of its fit (train_mlp).

    made_for: the model's digest (model_digest). Raises InputError for an MLP that cannot be edited
    (mlp_of), and for a fit that diverges.
    """
    generator = torch.Generator().manual_seed(seed)
    own, method = mlp_of(model, row.layer), METHODS[row.method]
    task = EditTask(model, encoder, texts, row, asking, selfie, None, generator)
    kept = task.inputs(texts.of_kind(method.keeps)) if method.keeps else None
    loss = method.loss(replace(task, kept=kept))
    encoded = encoder.texts([(d.prompt, d.response) for d in texts.reference])
    reference = [read_inputs(model, encoder, encoded, row.layer, None)] if encoded else []
    trained = float32_copy(own)
    notes = mlp_training.train_mlp(
        trained,
        loss,
        len(texts.of_kind(method.fits)),
        [inputs for inputs in (*reference, kept) if inputs],
        row,
        params.texts_per_step,
        generator,
    )
    return Edit(row.layer, made_for, weight_difference(trained, own)), notes
