"""Suffixes: what is read is what is written; searches keep to their budget and find what is
there."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.sections import GRADIENT_PASSES, Attacks
from pipeline.inference import suffixes
from pipeline.inference.differentiable import HarmReader
from pipeline.inference.suffixes import Target, random_suffixes, soft_suffix, token_suffix
from pipeline.models.encoding import Encoder

PROMPTS = ["How do I bake bread?", "Tell me how to knock.", "A " + "very " * 150 + "long one."]
SETTINGS = Attacks(texts=9, monitors=("logistic",), suffix_tokens=3, passes=24, swaps=5)


def along(direction: Tensor, layer: int = 2) -> HarmReader:
    """A monitor that reads the last token's state along a direction."""

    def read(states: Mapping[int, Tensor], _: Tensor, ends: Tensor) -> Tensor:
        return states[layer][torch.arange(len(ends)), ends] @ direction

    return HarmReader((layer,), read)


@pytest.fixture
def target(model: PreTrainedModel, encoder: Encoder) -> Target:
    direction = torch.randn(16, generator=torch.Generator().manual_seed(5))
    return Target(model, encoder, {"logistic": along(direction)}, tokens_per_batch=300)


@pytest.fixture
def allowed(encoder: Encoder) -> Tensor:
    return torch.tensor(encoder.whole_words())


def drawn(allowed: Tensor, *size: int) -> Tensor:
    return allowed[torch.from_numpy(np.random.default_rng(2).integers(len(allowed), size=size))]


def test_a_suffix_in_words_is_read_as_its_tokens(target: Target, allowed: Tensor) -> None:
    """However long the prompt: the suffix is kept, and the prompt is cut for it."""
    assert len(allowed) > 20
    tokens = drawn(allowed, len(PROMPTS), 3)
    rows = target.slotted(PROMPTS, 3).filled(tokens)
    words = [
        target.encoder.suffixed(prompt, own)
        for prompt, own in zip(PROMPTS, tokens.tolist(), strict=True)
    ]
    for number, text in enumerate(target.encoder.texts([(text, "") for text in words])):
        assert tuple(rows.ids[number][rows.mask[number].bool()].tolist()) == text.ids
        assert int(rows.ends[number]) == text.last
    by_tokens, by_words = target.logits(rows), target.of_words(words)
    assert torch.allclose(by_tokens["logistic"], by_words["logistic"], atol=1e-5)


def test_vectors_of_tokens_are_read_as_these_tokens(target: Target, allowed: Tensor) -> None:
    rows, tokens = target.slotted(PROMPTS, 3), drawn(allowed, len(PROMPTS), 3)
    vectors = target.embeddings(tokens)
    by_tokens = target.logits(rows.filled(tokens))["logistic"]
    assert torch.allclose(target.logits(rows, vectors)["logistic"], by_tokens, atol=1e-5)
    logits, gradient = target.gradient("logistic", rows, vectors)
    assert torch.allclose(logits, by_tokens, atol=1e-5)
    step = 1e-2 * gradient / gradient.norm()
    after = target.logits(rows, vectors + step)["logistic"]
    assert float((after - by_tokens).sum()) == pytest.approx(
        float((step * gradient).sum()), rel=0.2
    )


def test_gradients_find_the_best_of_few_tokens(target: Target, allowed: Tensor) -> None:
    """The oracle: every token of a suffix of one is tried."""
    some = allowed[:6]
    rows = target.slotted(PROMPTS, 1)
    every = torch.stack([target.logits(rows.filled(t.expand(3, 1)))["logistic"] for t in some])
    settings = SETTINGS.model_copy(update={"suffix_tokens": 1, "passes": 200, "swaps": 37})
    found = token_suffix(
        target, "logistic", rows, some[:1].expand(3, 1), some, settings, np.random.default_rng(0)
    )
    assert torch.equal(found.best[:, 0], some[every.argmin(0)])
    assert torch.allclose(found.steps[-1][1], every.min(0).values, atol=1e-5)


def test_every_search_goes_down_and_keeps_to_its_budget(
    target: Target, allowed: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {"passes": 0}
    read = suffixes.hidden_states

    def counted(model: Any, given: Tensor, *rest: Any) -> Any:
        taken["passes"] += len(given) * (GRADIENT_PASSES if torch.is_grad_enabled() else 1)
        return read(model, given, *rest)

    monkeypatch.setattr(suffixes, "hidden_states", counted)
    rows = target.slotted(PROMPTS, 3)
    draws = drawn(allowed, len(PROMPTS), SETTINGS.passes, 3)
    rng = np.random.default_rng(0)
    searches = {
        "random": lambda: random_suffixes(target, rows, draws, SETTINGS)["logistic"],
        "token": lambda: token_suffix(
            target, "logistic", rows, draws[:, 0], allowed, SETTINGS, rng
        ),
        "soft": lambda: soft_suffix(target, "logistic", rows, draws[:, 0], allowed, SETTINGS),
    }
    start = target.logits(rows.filled(draws[:, 0]))["logistic"]
    least = {}
    for name, search in searches.items():
        taken["passes"] = 0
        found = search()
        assert taken["passes"] == SETTINGS.passes * len(PROMPTS), name
        assert [mark for mark, _ in found.steps] == [8, 16, 24], name
        for before, after in zip([start, *(own for _, own in found.steps)],
                                 [own for _, own in found.steps], strict=False):  # fmt: skip
            assert bool((after <= before + 1e-5).all()), name
        vectors = found.best if name == "soft" else target.embeddings(found.best)
        again = target.logits(rows, vectors)["logistic"]
        assert torch.allclose(again, found.steps[-1][1], atol=1e-4), name
        least[name] = again
        if name == "soft":
            longest = target.embeddings(allowed).norm(dim=-1).max()
            assert bool((found.best.norm(dim=-1) <= longest + 1e-5).all())
    assert bool((least["soft"] < start - 1e-3).all())


def test_where_a_monitor_reads_nothing_no_suffix_helps(target: Target, allowed: Tensor) -> None:
    blind = Target(target.model, target.encoder, {"logistic": along(torch.zeros(16))}, 300)
    rows, start = blind.slotted(PROMPTS, 3), drawn(allowed, len(PROMPTS), 3)
    found = soft_suffix(blind, "logistic", rows, start, allowed, SETTINGS)
    assert all(bool((least == 0).all()) for _, least in found.steps)


def test_vectors_for_a_prompt_do_not_depend_on_the_others(target: Target, allowed: Tensor) -> None:
    start = drawn(allowed, len(PROMPTS), 3)
    together = soft_suffix(target, "logistic", target.slotted(PROMPTS, 3), start, allowed, SETTINGS)
    alone = soft_suffix(
        target, "logistic", target.slotted(PROMPTS[1:2], 3), start[1:2], allowed, SETTINGS
    )
    assert torch.allclose(together.best[1:2], alone.best, atol=1e-2)
