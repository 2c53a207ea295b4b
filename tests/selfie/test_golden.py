"""Answers, relevancy and logits are those of the published code, on a tiny Llama."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from pipeline.models.hooks import hidden_states, read_injected
from pipeline.models.logits import logits_of
from pipeline.selfie.any_decoder import Injection
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import answer_prompts
from pipeline.selfie.prompts import Prompt
from tests.support.dag import ROOT

GOLDEN = ROOT.parent / "shared/golden"
CONFIG = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": False, "initializer_range": 0.2,
}  # fmt: skip
SOURCE = (1, 11, 29, 53, 7, 80, 3)
ASKED = Prompt((1, 40, 41, 9, 9, 9, 9, 9, 42, 60, 61, 62, 63), (3, 4, 5, 6, 7), (0,) * 5)
SPOTS = ((0, 2), (1, 4), (2, 5), (3, 6), (4, 3))  # layer, token
# Of the state at layer 1, token 4: the answer at each block, and its signed relevancy.
SAID = [
    ([23, 58, 60, 42, 9, 9, 42, 23, 1, 42, 9, 42],
     [0.072813, 0.04065, 0.027783, -0.040574, 0.124526, 0.077275, -0.025917, 0.090042, 0.039114,
      0.155969, 0.10942, -0.008545]),
    ([90, 63, 8, 20, 42, 76, 54, 41, 49, 32, 23, 63],
     [0.059663, 0.032776, 0.024695, -0.011287, 0.051849, 0.03879, -0.043224, 0.023991, 0.033362,
      0.035922, 0.005414, -0.002555]),
    ([64, 42, 42, 42, 54, 42, 63, 93, 23, 23, 23, 32],
     [0.014045, 0.042517, -0.009115, -0.007094, 0.034226, 0.005013, 0.011261, -0.003658, 0.02627,
      0.00867, 0.015478, 0.023251]),
    ([7, 1, 42, 91, 15, 34, 42, 42, 42, 42, 42, 63],
     [0.009898, -0.005031, -0.086197, -0.008737, 0.000009, 0.003143, -0.037106, -0.024972,
      -0.013379, -0.007514, -0.008902, -0.006426]),
]  # fmt: skip
# Logits of tokens 0, 50 and 96 after the prompt with that state in it, by block, mode and scale.
LOGITS = {
    (0, "add", 1.0): [-1.855334, -0.083059, 0.892624],
    (0, "add", 2.5): [-1.860751, 0.079127, 0.854434],
    (0, "replace", 0.3): [-1.665774, 0.159446, 0.157818],
    (0, "replace", 1.0): [-1.787473, -0.14924, 1.02843],
    (1, "add", 1.0): [-0.48374, 0.157965, -0.154299],
    (1, "add", 2.5): [-0.756582, 0.566177, -0.03757],
    (1, "replace", 0.3): [-0.567443, -0.374288, -0.122292],
    (1, "replace", 1.0): [-0.749304, 0.262138, 0.158523],
    (2, "add", 1.0): [-0.538847, -0.160381, -0.334612],
    (2, "add", 2.5): [-0.65393, -0.041766, -0.35715],
    (2, "replace", 0.3): [-0.439869, -0.27464, -0.348235],
    (2, "replace", 1.0): [-0.534128, 0.187632, -0.574726],
    (3, "add", 1.0): [-0.567885, -0.341695, -0.283395],
    (3, "add", 2.5): [-0.576008, -0.445334, -0.155555],
    (3, "replace", 0.3): [-0.510976, -0.28327, -0.364628],
    (3, "replace", 1.0): [-0.499118, -0.560357, -0.05431],
}
MODES: dict[str, Any] = {"normalized": "replace", "addition": "add"}


class Ids:
    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def new_model() -> PreTrainedModel:
    """With the seed that the published code's run had; its weights are torch's own draws."""
    torch.manual_seed(1234)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG))
    model.eval()
    return model


@torch.no_grad()
def states(model: PreTrainedModel) -> Tensor:
    found = hidden_states(model, torch.tensor([SOURCE]), None, range(5))
    return torch.stack([found[layer][0, token] for layer, token in SPOTS])


@torch.no_grad()
def logits(model: PreTrainedModel, vectors: Tensor, how: Injection) -> Tensor:
    ids = torch.tensor([ASKED.ids] * len(vectors))
    slots = torch.zeros_like(ids).bool()
    slots[:, list(ASKED.slots)] = True
    return logits_of(model, read_injected(model, ids, how, slots, vectors))


def answered(
    model: PreTrainedModel, vectors: Tensor, block: int
) -> list[tuple[list[int], tuple[float, ...]]]:
    speaker: Any = Ids()
    how, decoding = Injection(block, "replace", 1.0), Decoding(12, 8)
    answers = answer_prompts(model, speaker, [ASKED], vectors, how, decoding, [2])
    return [([int(token) for token in r.tokens], r.relevancy) for r in answers]


@pytest.mark.parametrize("block", range(4))
def test_answers_and_relevancy_are_the_published_ones(block: int) -> None:
    model = new_model()
    found = answered(model, states(model), block)[1]
    assert found[0] == SAID[block][0]
    assert found[1] == pytest.approx(SAID[block][1], abs=1.5e-6)  # they are written to 1e-6


@pytest.mark.parametrize(("block", "mode", "scale"), LOGITS)
def test_every_way_of_writing_is_the_published_one(block: int, mode: Any, scale: float) -> None:
    model = new_model()
    found = logits(model, states(model)[1:2], Injection(block, mode, scale))[0, -1, [0, 50, 96]]
    assert found.tolist() == pytest.approx(LOGITS[block, mode, scale], abs=1e-5)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if not (GOLDEN / "selfie_small.npz").is_file():
        pytest.skip("the published code's numbers are not beside the project (../shared/golden)")
    with np.load(GOLDEN / "selfie_small.npz") as stored:
        return dict(stored)


@torch.no_grad()
def test_every_state_block_mode_and_scale_gives_the_published_numbers(
    golden: dict[str, np.ndarray],
) -> None:
    """Every state, block, mode and scale: ids alike, numbers to the rounding of float32 sums."""
    config = json.loads((GOLDEN / "selfie_small_config.json").read_text(encoding="utf-8"))
    assert config == CONFIG
    model: Any = new_model()
    weights = {n: torch.from_numpy(golden[f"w/{n}"]) for n, _ in model.named_parameters()}
    model.load_state_dict(weights)
    assert golden["ids/src"].tolist() == [list(SOURCE)]
    assert golden["ids/interp"].tolist() == [list(ASKED.ids)]
    assert [tuple(spot) for spot in golden["pairs"]] == list(SPOTS)
    found = hidden_states(model, torch.tensor([SOURCE]), None, range(5))
    for layer in range(5):
        expected = golden[f"src_hs/{layer}"]
        np.testing.assert_allclose(found[layer].numpy(), expected, atol=1e-5, rtol=0)
    vectors, compared = states(model), 0
    for block in range(4):
        read = answered(model, vectors, block)
        assert [tokens for tokens, _ in read] == golden[f"gen/{block}"][:, 13:].tolist()
        scores = np.array([relevancy for _, relevancy in read])
        np.testing.assert_allclose(scores, golden[f"rel_signed/{block}"], atol=2e-6, rtol=0)
        np.testing.assert_allclose(abs(scores), golden[f"rel_abs/{block}"], atol=2e-6, rtol=0)
        for name, expected in golden.items():
            if name.startswith(f"logits/{block}/"):
                _, _, mode, scale = Path(name).parts
                how = Injection(block, MODES[mode], float(scale))
                written = logits(model, vectors, how).numpy()
                np.testing.assert_allclose(written, expected, atol=1e-5, rtol=1e-5)
                compared += 1
    assert compared == 16
