"""Beside an edit stand an instruction and a steering vector, observed as the edit is."""

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from pipeline.core.concepts import requests_of
from pipeline.core.edit_observations import read_match, read_observations
from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.edits.baselines import aim_of, observe_beside
from pipeline.edits.delta import applied
from pipeline.edits.methods import EditTexts, make_edit, steering_direction
from pipeline.edits.observe import Observing, choose_observed_texts
from pipeline.edits.steering import steered
from pipeline.models.encoding import Encoder


def test_both_are_observed_and_the_model_stays_as_it_is(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example],
    documents: list[Document], texts: EditTexts, tmp_path: Path,
) -> None:  # fmt: skip
    control = params.control
    requests = requests_of(examples, ("safe",), "validation")
    chosen = choose_observed_texts(requests, documents, [], examples, 20, 4)
    observing = Observing(
        copy.deepcopy(model), encoder, chosen, params.generation, params.asking, params.selfie, 0
    )
    before = copy.deepcopy(model.state_dict())

    def refuses(answer: str) -> bool:  # a random model refuses nothing, so letters decide
        return "e" in answer

    for name in ("supervised", "reinforcement"):
        row = control.edits[name].model_copy(update={"learning_rate": 0.3})
        edit, _ = make_edit(
            model, encoder, texts, row, control, params.asking, params.selfie, 0, "x"
        )
        observe_beside(tmp_path, name, model, observing, texts, edit, control, refuses)
        for beside in ("instruction", "steering"):
            seen = read_observations(tmp_path / f"{name}.{beside}")
            assert len(seen.completions) == len(chosen.requests) * params.generation.samples
        match = read_match(tmp_path / f"{name}.steering")
        aim = aim_of(control.edits[name], observing, texts, refuses)
        with applied(model, edit):
            assert match.edit_effect == aim(model) - aim(observing.untouched)
        vector = load_file(tmp_path / f"{name}.steering" / "vector.safetensors")["vector"]
        with steered(model, row.layer, vector):
            assert match.effect == aim(model) - aim(observing.untouched)
        assert all(torch.equal(own, before[key]) for key, own in model.state_dict().items())


def test_a_steering_vector_is_the_difference_of_means_of_training_texts(
    model: PreTrainedModel, encoder: Encoder, params: Params, texts: EditTexts
) -> None:
    row = params.control.edits["supervised"]
    found = steering_direction(model, encoder, texts, row, params.asking, params.selfie)

    def mean(examples: list[Example]) -> torch.Tensor:
        with torch.no_grad():
            states = [
                model(torch.tensor([encoder(e.prompt, "").ids]), output_hidden_states=True)
                .hidden_states[row.layer][0, -1]
                for e in examples
            ]  # fmt: skip
        return torch.stack(states).mean(0)

    expected = mean([*texts.harmful]) - mean([*texts.safe])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    rewarded = params.control.edits["reinforcement"]
    nobody = steering_direction(model, encoder, texts, rewarded, params.asking, params.selfie)
    assert not nobody.any(), "a random model names no concept: no text is rewarded"
