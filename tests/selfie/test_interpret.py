"""Interpretations: the injection decides what is said, however it is looked for and batched."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import decoder_blocks, hidden_states
from pipeline.selfie import interpret as interpreting
from pipeline.selfie.any_decoder import Writing
from pipeline.selfie.decoding import Search
from pipeline.selfie.interpret import Reading, interpret, read_aloud
from pipeline.selfie.prompts import Prompt
from pipeline.selfie.relevancy import without_injection
from tests.support.families import FAMILIES, PADDED
from tests.support.families import family as new_family

family = cache(new_family)  # nothing here changes a model
FIRST, SIX = Writing(1, "replace", 1.0), Search(6, 64)
NO_END = (97,)  # beyond the vocabulary: never said
ASKED = Prompt((1, 40, 41, 9, 9, 9, 42, 60), (3, 4, 5), (0, 0, 0))
OTHER = Prompt((1, 50, 9, 33, 9, 12, 70, 71, 72, 5), (2, 4), (0, 0))


class Ids:
    """Speaks of tokens by their ids."""

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def vectors(count: int = 5, width: int = 32) -> Tensor:
    return 2 * torch.randn(count, width, generator=torch.Generator().manual_seed(0)) + 0.5


def read(
    model: Any,
    prompts: Sequence[Prompt] | Prompt,
    written: Tensor | None,
    how: Writing = FIRST,
    search: Search = SIX,
    ends: Sequence[int] = NO_END,
) -> list[Reading]:
    prompts = [prompts] if isinstance(prompts, Prompt) else prompts
    tokenizer: Any = Ids()
    return read_aloud(model, tokenizer, prompts, written, how, search, ends)


def said(readings: Sequence[Reading]) -> list[list[int]]:
    return [[int(token) for token in reading.tokens] for reading in readings]


@torch.no_grad()
def odds(
    model: Any, ids: Sequence[int], prompt: Prompt, written: Tensor | None, how: Writing
) -> Tensor:
    """The oracle: next-token probabilities [V] after ids, no cache, one text, vectors [V, D]
    written by a plain hook at every pass."""

    def write(_: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        assert written is not None
        hidden = args[0].clone()
        for place, number in zip(prompt.places, prompt.vectors, strict=True):
            h, v = hidden[0, place], written[number]
            hidden[0, place] = {
                "replace": how.scale * v + (1 - how.scale) * h,
                "add": h + how.scale * v,
                "norm_matched": h + how.scale * h.norm() * v / v.norm(),
            }[how.mode]
        return (hidden, *args[1:]), kwargs

    blocks = next(part for part in model.modules() if isinstance(part, torch.nn.ModuleList))
    handles = []
    if written is not None:
        hook = blocks[how.inject_layer].register_forward_pre_hook(write, with_kwargs=True)
        handles.append(hook)
    logits = model(torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits.float().softmax(-1)


def plainly(
    model: Any, prompt: Prompt, written: Tensor, how: Writing, steps: int
) -> tuple[list[int], list[float]]:
    """The oracle's greedy answer and signed relevancy."""
    ids, scores = list(prompt.ids), []
    for _ in range(steps):
        sure = odds(model, ids, prompt, written, how)
        token = int(sure.argmax())
        scores.append(float(sure[token] - odds(model, ids, prompt, None, how)[token]))
        ids.append(token)
    return ids[len(prompt.ids) :], scores


@pytest.mark.parametrize("name", [*FAMILIES, *PADDED])
def test_every_family_reads_as_a_plain_loop_does(name: str) -> None:
    """Cached prefix and blocks, and a key-value cache, change nothing; nor does the batch."""
    model, some, how = family(name), vectors(3), Writing(2, "replace", 1.0)
    expected = [plainly(model, ASKED, vector[None], how, 9) for vector in some]
    for size in (64, 2):
        found = read(model, ASKED, some, how, Search(9, size))
        assert said(found) == [tokens for tokens, _ in expected]
        for reading, (_, scores) in zip(found, expected, strict=True):
            assert reading.relevancy == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_what_is_known_of_an_answer_is_not_read_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks below the injection say the same without it, and equal openings are one row."""
    model, how = family(name), Writing(2, "replace", 1.0)
    some = vectors(3)[[0, 1, 2, 0, 1, 0]]
    tokens: dict[int, list[int]] = {0: [], 2: []}
    odds: list[Tensor] = []

    def watched(*given: Any) -> Tensor:
        blocks = decoder_blocks(model)
        handles = [
            blocks[number].mlp.register_forward_pre_hook(
                lambda _, args, number=number: tokens[number].append(args[0].shape[:-1].numel())
            )
            for number in tokens
        ]
        odds.append(without_injection(*given))
        for handle in handles:
            handle.remove()
        odds.append(without_injection(*given[:-2]))  # with every block
        return odds[0]

    monkeypatch.setattr(interpreting, "without_injection", watched)
    found = read(model, ASKED, some, how, Search(9, 6))
    torch.testing.assert_close(odds[0], odds[1], atol=1e-6, rtol=0)
    distinct = {tuple(answer) for answer in said(found)}
    assert not tokens[0]
    assert 0 < sum(tokens[2]) <= 8 * len(distinct) < 8 * len(found)


@pytest.mark.parametrize("mode", ["replace", "add", "norm_matched"])
@pytest.mark.parametrize("block", range(4))
def test_every_block_and_mode(block: int, mode: Any) -> None:
    model, how = family("llama"), Writing(block, mode, 0.8)
    tokens, scores = plainly(model, ASKED, vectors(1), how, 4)
    (found,) = read(model, ASKED, vectors(1), how, Search(4, 1))
    assert said([found]) == [tokens]
    assert found.relevancy == pytest.approx(scores, abs=1e-6)
    assert found.absolute == pytest.approx([abs(score) for score in scores], abs=1e-6)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mistral", "gpt_neox"])
def test_prompts_of_different_length_share_a_batch(name: str) -> None:
    model, some, how = family(name), vectors(4), Writing(1, "replace", 1.0)
    prompts = [ASKED, OTHER, OTHER, ASKED]
    found = read(model, prompts, some)
    for reading, prompt, vector in zip(found, prompts, some, strict=True):
        tokens, scores = plainly(model, prompt, vector[None], how, 6)
        assert said([reading]) == [tokens]
        assert reading.relevancy == pytest.approx(scores, abs=1e-5)


def test_every_placeholder_has_its_own_vector() -> None:
    model, how = family("llama"), Writing(1, "replace", 1.0)
    two = torch.stack([vectors(3), vectors(6)[3:]], 1)
    asked = Prompt(ASKED.ids, ASKED.places, (0, 1, 0))
    mixed = Prompt(OTHER.ids, OTHER.places, (1, 0))
    for prompts in ([asked], [mixed, asked, mixed]):
        found = read(model, prompts, two)
        for row, reading in enumerate(found):
            prompt = prompts[row % len(prompts)]
            tokens, scores = plainly(model, prompt, two[row], how, 6)
            assert said([reading]) == [tokens]
            assert reading.relevancy == pytest.approx(scores, abs=1e-5)
    same = torch.stack([vectors(3)] * 2, 1)
    assert said(read(model, asked, same)) == said(read(model, ASKED, vectors(3)))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_rows_that_end_leave_and_change_no_other(name: str) -> None:
    """Ends are chosen so that answers end at different steps; nothing after them has a score."""
    model, some = family(name), vectors(12)
    whole = read(model, ASKED, some, search=Search(8, 64))
    ends = sorted({tokens[step] for step, tokens in zip((0, 2, 4), said(whole), strict=False)})
    for size in (64, 5):
        found = read(model, ASKED, some, search=Search(8, size), ends=ends)
        lengths = set()
        for cut, reading in zip(found, whole, strict=True):
            tokens = said([reading])[0]
            length = next((p for p, token in enumerate(tokens) if token in ends), len(tokens))
            assert said([cut]) == [tokens[:length]]
            assert cut.relevancy == pytest.approx(reading.relevancy[:length], abs=1e-5)
            lengths.add(length)
        assert len(lengths) > 1


@torch.no_grad()
def test_writing_what_stands_there_changes_nothing() -> None:
    """The identity patch: relevancy 0, and the answer to the prompt as it is."""
    for name in ("llama", "gpt2", "gemma2"):
        model = family(name)
        own = hidden_states(model, torch.tensor([ASKED.ids]), None, [2])[2][0, list(ASKED.places)]
        apart = Prompt(ASKED.ids, ASKED.places, (0, 1, 2))
        found = read(model, apart, own[None], Writing(2, "replace", 1.0))
        assert said(found) == said(read(model, ASKED, None))
        assert found[0].relevancy == pytest.approx([0.0] * 6, abs=1e-6)
        other = read(model, apart, -own[None], Writing(2, "replace", 1.0))
        assert max(other[0].absolute) > 1e-3


def test_draws_keep_the_injection_and_depend_on_the_seed_alone() -> None:
    model, some = family("llama"), vectors(40)
    drawn = [said(read(model, ASKED, some, search=Search(4, s, 1.0))) for s in (64, 7)]
    assert drawn[0] == drawn[1]
    assert said(read(model, ASKED, some, search=Search(4, 64, 1.0, seed=1))) != drawn[0]
    cold = read(model, ASKED, some, search=Search(4, 64, 1e-4))
    assert said(cold) == said(read(model, ASKED, some, search=Search(4, 64)))
    many = read(model, ASKED, vectors(1).expand(3000, -1), search=Search(1, 3000, 1.5))
    shares = torch.bincount(torch.tensor(said(many))[:, 0], minlength=97) / 3000
    sure = odds(model, ASKED.ids, ASKED, vectors(1), FIRST)
    expected = (sure.log() / 1.5).softmax(0)
    assert torch.allclose(shares, expected, atol=0.04)
    token = int(expected.argmax())
    plain = odds(model, ASKED.ids, ASKED, None, FIRST)
    scores = [r.relevancy[0] for r in many if r.tokens == (str(token),)]
    assert scores == pytest.approx([float(sure[token] - plain[token])] * len(scores), abs=1e-6)


@pytest.mark.parametrize("prompts", [[ASKED], [ASKED, OTHER]])
def test_beams_keep_the_injection(prompts: list[Prompt]) -> None:
    """The oracle: beams grown by hand, every pass from the start with the vector written anew."""
    model, how, beams, steps = family("llama"), Writing(1, "replace", 1.0), 3, 4
    found = read(model, prompts, vectors(2), how, Search(steps, 64, beams=beams))
    for row, reading in enumerate(found):
        prompt, vector = prompts[row % len(prompts)], vectors(2)[row : row + 1]
        kept: list[tuple[float, list[int]]] = [(0.0, [])]
        for _ in range(steps):
            grown = []
            for score, tokens in kept:
                likely = odds(model, [*prompt.ids, *tokens], prompt, vector, how).log()
                grown += [(score + float(s), [*tokens, t]) for t, s in enumerate(likely)]
            kept = sorted(grown, reverse=True)[:beams]
        best = kept[0][1]
        assert said([reading]) == [best]
        for step, score in enumerate(reading.relevancy):
            before = [*prompt.ids, *best[:step]]
            gap = odds(model, before, prompt, vector, how) - odds(model, before, prompt, None, how)
            assert score == pytest.approx(float(gap[best[step]]), abs=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_a_model_of_less_precision_reads_vectors_of_more(name: str) -> None:
    """What is kept from pass to pass gives what reading every prompt by itself does."""
    model: Any = new_family(name).to(torch.bfloat16)
    found = read(model, ASKED, vectors(3).double())
    alone = read(model, [ASKED] * 3, vectors(3).double())
    assert said(found) == said(alone)
    for reading, other in zip(found, alone, strict=True):
        assert len(reading.tokens) == 6
        assert reading.relevancy == pytest.approx(other.relevancy, abs=5e-3)


def test_two_prompts_without_vectors_are_answered_as_they_are() -> None:
    model = family("qwen2")
    found = read(model, [ASKED, OTHER], None)
    for reading, prompt in zip(found, (ASKED, OTHER), strict=True):
        (alone,) = read(model, prompt, None)
        assert reading.tokens == alone.tokens
        assert reading.relevancy == (0.0,) * 6


BARE = Prompt(ASKED.ids)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "not finite": ({"written": torch.full((1, 32), float("nan"))}, "not finite"),
    "endless": ({"written": torch.full((1, 32), float("inf"))}, "not finite"),
    "width": ({"written": vectors(1, 31)}, "vectors of width 31 for a model of width 32"),
    "shape": ({"written": vectors(1)[0]}, "give \\[N, D\\] or \\[N, V, D\\]"),
    "no vector": ({"written": vectors(0)}, "nothing to interpret"),
    "no prompt": ({"prompts": []}, "nothing to interpret"),
    "an empty prompt": ({"prompts": Prompt(())}, "an empty prompt"),
    "no placeholder": ({"prompts": BARE}, "no placeholder"),
    "prompts": ({"prompts": [ASKED] * 2}, "2 prompts for 5 vectors"),
    "too few vectors": ({"prompts": Prompt(ASKED.ids, (3, 4), (0, 1))}, "numbers 2 vectors, but 1"),
    "block": ({"how": Writing(4, "replace", 1.0)}, "block 4: the model has blocks 0 to 3"),
    "mode": ({"how": Writing(1, "multiply", 1.0)}, "mode 'multiply'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_one_line(change: dict[str, Any], message: str) -> None:
    told: dict[str, Any] = {"prompts": ASKED, "written": vectors(5)} | change
    with pytest.raises(ValueError, match=message) as refused:
        read(family("llama"), **told)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"max_new_tokens": 0}, "at least 1"),
        ({"temperature": -1.0}, "temperature -1.0"),
        ({"beams": 2, "temperature": 1.0}, "beam search here does not sample"),
    ],
)
def test_a_search_that_is_none_is_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Search(**({"max_new_tokens": 5, "per_batch": 5} | search))


def test_the_pipelines_question(model: PreTrainedModel, encoder: Encoder, params: Params) -> None:
    """asking.question with the state over its placeholders; equal vectors are read once."""
    some = vectors(3, 16)
    found = interpret(model, encoder, torch.cat([some, some]), params.asking, params.selfie)
    assert found[:3] == found[3:]
    assert found[:3] == interpret(model, encoder, some, params.asking, params.selfie)
    (nothing,) = interpret(model, encoder, None, params.asking, params.selfie)
    assert nothing.relevancy == (0.0,) * len(nothing.tokens)
    with pytest.raises(InputError, match="not finite"):
        interpret(model, encoder, some * float("nan"), params.asking, params.selfie)
