"""Every edit method is fitted on training texts alone, and leaves the model as it is."""

import copy
from typing import get_args

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.core.sections import EDIT_SETTINGS, EditMethodName
from pipeline.corpora import embedded_corpus
from pipeline.edits.methods import METHODS, EditTexts, can_fit, choose_edit_texts, make_edit
from pipeline.models.encoding import Encoder


def test_every_method_has_a_loss_and_its_settings() -> None:
    assert list(METHODS) == list(EDIT_SETTINGS) == list(get_args(EditMethodName))


@pytest.mark.parametrize(
    "name", ["supervised", "random_target", "response", "reinforcement", "shuffled_rewards"]
)
def test_every_edit_is_reproducible_and_leaves_the_model_as_it_is(
    name: str, model: PreTrainedModel, encoder: Encoder, params: Params, texts: EditTexts
) -> None:
    row = params.control.edits[name]
    # A random model names no concept: what rewards do to weights is asked of the formula alone.
    before = copy.deepcopy(model.state_dict())
    made = [
        make_edit(model, encoder, texts, row, params.control, params.asking, params.selfie, 0, "x")
        for _ in range(2)
    ]
    (edit, notes), (again, _) = made
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(edit.delta[name], again.delta[name]) for name in edit.delta)
    assert set(notes) == {"first_loss", "last_loss", "last_locality"}
    if row.method != "reinforcement":
        assert all(delta.abs().max() > 0 for delta in edit.delta.values())


def test_edit_texts_are_of_the_training_split_and_of_no_request(
    params: Params, examples: list[Example], documents: list[Document], texts: EditTexts
) -> None:
    taken = [e.prompt for e in examples]
    requests = embedded_corpus.requests(params.corpora.embedded, 0, taken)
    used = [*texts.harmful, *texts.safe, *texts.labelled]
    assert all(e.split == "train" for e in used)
    assert all(d.split == "pretrain" for d in texts.reference)
    assert not {e.prompt for e in used} & {r.prompt for r in requests}
    assert {e.concept for e in texts.safe} == {"safe"}
    assert "safe" not in {e.concept for e in texts.harmful}
    assert len({e.concept for e in texts.harmful}) == 5


def test_without_harm_only_rewarded_edits_can_be_fitted(
    params: Params, examples: list[Example], documents: list[Document]
) -> None:
    texts = choose_edit_texts(examples, documents, (), params.control)
    fits = {name: can_fit(row, texts) for name, row in params.control.edits.items()}
    assert fits == {
        "supervised": False, "random_target": False, "response": False,
        "reinforcement": True, "shuffled_rewards": True,
    }  # fmt: skip
