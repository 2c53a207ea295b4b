"""Variants at equal KL: the scale that reaches it, what is scaled, and what is measured there."""

import copy
from math import exp
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from benchmarks.equal_kl import GEOMETRY, RESAMPLES, Bench, separated
from benchmarks.scaling import LEAST, MOST, ROUNDS, TOLERANCE, matching_scale, scaled
from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.core.representations import Representations
from pipeline.core.sections import Reading
from pipeline.evaluation.separation_by_layer import separation_by_layer
from pipeline.models.encoding import Encoder
from pipeline.models.lora import with_lora


@given(kl=st.floats(1e-4, 1.0), power=st.floats(1.0, 4.0), scale=st.floats(1.1 * LEAST, MOST / 1.1))
def test_a_kl_that_lies_within_the_scales_is_reached(kl: float, power: float, scale: float) -> None:
    wanted = kl * scale**power
    match = matching_scale(lambda s: kl * s**power, wanted)
    assert match.reached
    assert match.kl == pytest.approx(wanted, rel=TOLERANCE)


def test_a_divergence_that_is_no_power_is_reached_too() -> None:
    match = matching_scale(lambda s: exp(s) - 1 - s, exp(6) - 7)
    assert match.reached
    assert match.scale == pytest.approx(6, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("kl", "wanted"), [(1e-9, 1.0), (1.0, 1e-9), (0.0, 1.0)], ids=["small", "large", "none"]
)
def test_a_kl_beyond_the_scales_is_not_reached(kl: float, wanted: float) -> None:
    asked: list[float] = []

    def kl_at(scale: float) -> float:
        asked.append(scale)
        return kl * scale**2

    assert not matching_scale(kl_at, wanted).reached
    assert len(asked) <= ROUNDS + 1
    assert all(LEAST <= scale <= MOST for scale in asked)


def moved(model: PreTrainedModel, by: float) -> PreTrainedModel:
    """The model with every weight moved at random."""
    found = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in found.parameters():
            weight += by * torch.randn_like(weight)
    return found


@pytest.fixture
def bench(
    params: Params,
    model: PreTrainedModel,
    encoder: Encoder,
    examples: list[Example],
    documents: list[Document],
) -> Bench:
    few = documents[:8]
    return Bench(params, model, encoder, examples, few, few)


def test_variants_have_the_kl_of_the_reference_which_stays_as_it_is(bench: Bench) -> None:
    reference, other = moved(bench.untouched, 0.01), moved(bench.untouched, 0.03)
    wanted = bench.kl(reference)
    own = bench.both(reference, wanted)
    assert own["own"] == own["equal_kl"]
    assert own["own"]["scale"] == 1
    there = bench.both(other, wanted)
    assert there["own"]["costs"]["kl_to_base"] > 4 * wanted
    assert there["equal_kl"]["costs"]["kl_to_base"] == pytest.approx(wanted, rel=TOLERANCE)
    assert there["equal_kl"]["scale"] == pytest.approx(1 / 3, rel=0.1)
    assert there["equal_kl"]["splits"].keys() == there["own"]["splits"].keys() != set()


def test_what_cannot_be_matched_has_no_numbers_there(bench: Bench) -> None:
    assert bench.both(moved(bench.untouched, 0.01), 1e-12).keys() == {"own"}


def test_a_scale_of_0_is_the_untouched_model_and_of_1_the_tuned_one(
    model: PreTrainedModel,
) -> None:
    tuned = moved(model, 0.01)
    for scale, expected in ((0.0, model), (1.0, tuned)):
        found = scaled(model, tuned, scale)
        for weight, own in zip(found.parameters(), expected.parameters(), strict=True):
            assert torch.equal(weight, own)


def test_scaling_a_merged_adapter_is_scaling_its_alpha(
    model: PreTrainedModel, params: Params
) -> None:
    adapted: Any = with_lora(copy.deepcopy(model), params.finetune)
    torch.manual_seed(1)
    layers = [module for module in adapted.modules() if hasattr(module, "lora_B")]
    with torch.no_grad():
        for layer in layers:
            layer.lora_B["default"].weight.normal_(std=0.1)
    tuned = copy.deepcopy(adapted).merge_and_unload()
    for layer in layers:
        layer.scaling["default"] *= 2.5
    expected = adapted.merge_and_unload()
    found = scaled(model, tuned, 2.5)
    for weight, own in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(weight, own, atol=1e-6)
    assert any(
        not torch.allclose(weight, own, atol=1e-2)
        for weight, own in zip(found.parameters(), tuned.parameters(), strict=True)
    )


def test_numbers_are_those_of_the_stage_separation() -> None:
    """At the layer that is read; shifted texts, of which the stage has probes alone, as others."""
    rng = np.random.default_rng(0)
    splits = np.repeat(["train", "validation", "test", "novel", "shifted"], 24)
    concepts = np.tile(["a", "b", "c"], len(splits) // 3)
    centres = {concept: rng.normal(size=6) for concept in "abc"}
    values = np.stack([centres[concept] for concept in concepts]) + rng.normal(size=(2, 1, 120, 6))
    ids = tuple(map(str, range(len(splits))))
    stored = Representations(
        values.astype(np.float32), (0, 1), ("last",), ids, (*concepts,), (*splits,)
    )
    prompts = {name: f"prompt {name}" for name in ids}
    reading = Reading(
        layer=1, position="last", neighbours=3, resamples=RESAMPLES, false_alarms=(0.05,)
    )
    found = separated(stored, prompts, reading, 0)
    tree = separation_by_layer(stored, prompts, reading, 0).resampled
    assert found.keys() == {"test", "novel", "shifted"}
    for split, numbers in found.items():
        for name, probe in {"probe_accuracy": "read", "best_probe": "best"}.items():
            assert numbers[name] == tree["probes", probe, split].value
        for name in GEOMETRY if split != "shifted" else ():
            assert numbers[name] == tree["layer_1", "last", split, name].value
