"""A running generation is not one forward pass: a live monitor gives the scores of one all the
same, or says why it can't."""

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.inference.live_monitor import watching
from pipeline.models.lora import with_lora
from tests.inference.test_live_monitor import NEVER_ENDS, monitor_of, scores_of
from tests.support.families import family
from tests.support.tiny import move

TEXTS = [[5, 9, 13, 17, 21, 25, 29, 33, 37], [7, 30]]
IDS = torch.tensor([TEXTS[0], [0] * 7 + TEXTS[1]])
MASK = (IDS > 0).long()


def plainly(model: Any, monitor: Any, read: torch.Tensor, prompt: int) -> np.ndarray:
    """The scores of one forward pass over all tokens that a generation read, from its prompt's
    end on."""
    with torch.no_grad():
        states = model(read[None], output_hidden_states=True).hidden_states[monitor.layer][0]
    found = states.numpy()
    if monitor.position == "mean":
        found = found.cumsum(0) / np.arange(1, len(found) + 1)[:, None]
    scores = scores_of(monitor, found[prompt - 1 :])
    return scores[:1] if monitor.position == "prompt_end" else scores


@pytest.mark.parametrize("chunk", [1, 2, 4, 8, 9, 50])
@pytest.mark.parametrize("position", ["prompt_end", "last", "mean"])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_faults_a_prompt_that_is_read_in_chunks_is_judged_once_at_its_end(
    name: str, position: str, chunk: int
) -> None:
    model = family(name)
    monitor = monitor_of(model, 2, position)
    with watching(model, monitor) as live:
        whole = model.generate(IDS, attention_mask=MASK, prefill_chunk_size=chunk, **NEVER_ENDS)
    for row, text in enumerate(TEXTS):
        read = whole[row, len(TEXTS[0]) - len(text) : -1]
        seen = [judgement.score for judgement in live.judgements(row)]
        expected = plainly(model, monitor, read, len(text))
        np.testing.assert_allclose(seen, expected, atol=1e-4)
    assert "_prefill" not in vars(model)


def test_faults_chunks_are_known_under_an_adapter_too(params: Params) -> None:
    model = family("llama")
    adapted = move(with_lora(model, params.finetune)).eval()
    monitor = monitor_of(adapted, 1, "mean")
    ids = torch.tensor(TEXTS[:1])
    how: dict[str, Any] = {"attention_mask": torch.ones_like(ids), **NEVER_ENDS}
    with watching(adapted, monitor) as live:
        whole = adapted.generate(input_ids=ids, prefill_chunk_size=4, **how)
    seen = [judgement.score for judgement in live.judgements()]
    np.testing.assert_allclose(
        seen, plainly(adapted, monitor, whole[0, :-1], len(TEXTS[0])), atol=1e-4
    )


def test_faults_rows_padded_on_the_right_keep_their_own_last_token_over_chunks() -> None:
    model = family("llama")
    ids = torch.tensor([TEXTS[0], [*TEXTS[1], *[0] * 7]])
    for position in ("last", "mean"):
        monitor = monitor_of(model, 2, position)
        with watching(model, monitor) as live:
            model.generate(ids, attention_mask=(ids > 0).long(), prefill_chunk_size=4, **NEVER_ENDS)
        for row, text in enumerate(TEXTS):
            (expected,) = plainly(model, monitor, torch.tensor(text), len(text))
            assert live.judgements(row)[0].score == pytest.approx(expected, abs=1e-4)


def earlier_turn(model: Any) -> tuple[torch.Tensor, Any]:
    """The next prompt, with all that came before it, and the cache of what came before."""
    ids = torch.tensor(TEXTS[:1])
    how: dict[str, Any] = {"attention_mask": torch.ones_like(ids), **NEVER_ENDS}
    found = model.generate(ids, return_dict_in_generate=True, **how)
    return torch.cat([found.sequences, torch.tensor([[7, 8, 11]])], 1), found.past_key_values


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral"])
def test_faults_an_earlier_turn_in_the_cache_is_judged_as_one_pass_or_refused(
    name: str, chunk: int | None
) -> None:
    model = family(name)
    for position in ("prompt_end", "last", "mean"):
        monitor = monitor_of(model, 2, position)
        ids, cache = earlier_turn(model)

        def answer(ids: torch.Tensor = ids, cache: Any = cache) -> torch.Tensor:
            how: dict[str, Any] = {"attention_mask": torch.ones_like(ids), **NEVER_ENDS}
            found = model.generate(ids, past_key_values=cache, prefill_chunk_size=chunk, **how)
            assert isinstance(found, torch.Tensor)
            return found

        if position == "mean":
            refused = pytest.raises(InputError, match="14 tokens that the monitor did not read")
            with refused, watching(model, monitor):
                answer()
            assert "_prefill" not in vars(model)
            continue
        with watching(model, monitor) as live:
            whole = answer()
        seen = [judgement.score for judgement in live.judgements()]
        expected = plainly(model, monitor, whole[0, :-1], ids.shape[1])
        np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_faults_a_mean_goes_on_over_a_cache_that_the_monitor_has_read() -> None:
    model = family("gemma3")
    monitor = monitor_of(model, 2, "mean")
    with watching(model, monitor) as live:
        ids, cache = earlier_turn(model)
        first = len(live.judgements())
        how: dict[str, Any] = {"attention_mask": torch.ones_like(ids), **NEVER_ENDS}
        whole = model.generate(ids, past_key_values=cache, **how)
    seen = [judgement.score for judgement in live.judgements()][first:]
    expected = plainly(model, monitor, whole[0, :-1], ids.shape[1])
    np.testing.assert_allclose(seen, expected, atol=1e-4)


@pytest.mark.parametrize("how", [{"num_beams": 2}, {"prompt_lookup_num_tokens": 2}], ids=str)
def test_faults_a_generation_that_takes_tokens_back_is_refused(how: dict[str, Any]) -> None:
    model = family("llama")
    ids = torch.tensor([[5, 9, 5, 9, 5, 9, 5]])
    monitor = monitor_of(model, 2, "last")
    with pytest.raises(InputError, match="takes tokens back"), watching(model, monitor):
        model.generate(ids, attention_mask=torch.ones_like(ids), **NEVER_ENDS, **how)
