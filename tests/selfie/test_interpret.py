"""Answers and relevancy are those of a plain loop, however they are decoded and batched.

Longer than other files, as all ways to decode are held to one plain loop.
"""

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
from pipeline.selfie import interpret as interpret_module
from pipeline.selfie.any_decoder import Injection
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import VectorInterpretation, answer_prompts, interpret_states
from pipeline.selfie.prompts import Prompt
from pipeline.selfie.relevancy import answer_probabilities, plain_probabilities
from tests.support.families import FAMILIES, PADDED
from tests.support.families import family as new_family
from tests.support.plain_loop import next_token_probabilities, plainly

family = cache(new_family)  # nothing here changes a model
FIRST, SIX = Injection(1, "replace", 1.0), Decoding(6, 64)
NO_END = (97,)  # beyond the vocabulary: never an answer
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
    how: Injection = FIRST,
    decoding: Decoding = SIX,
    ends: Sequence[int] = NO_END,
) -> list[VectorInterpretation]:
    prompts = [prompts] if isinstance(prompts, Prompt) else prompts
    tokenizer: Any = Ids()
    return answer_prompts(model, tokenizer, prompts, written, how, decoding, ends)


def token_ids(answers: Sequence[VectorInterpretation]) -> list[list[int]]:
    return [[int(token) for token in answer.tokens] for answer in answers]


@pytest.mark.parametrize("name", [*FAMILIES, *PADDED])
def test_every_family_answers_as_a_loop_without_cache_or_batch(name: str) -> None:
    """Cached prefix and blocks, and a key-value cache, change nothing; nor does the batch."""
    model, some, how = family(name), vectors(3), Injection(2, "replace", 1.0)
    expected = [plainly(model, ASKED, vector[None], how, 9) for vector in some]
    for size in (64, 2):
        found = read(model, ASKED, some, how, Decoding(9, size))
        assert token_ids(found) == [tokens for tokens, _ in expected]
        for answer, (_, scores) in zip(found, expected, strict=True):
            assert answer.relevancy == pytest.approx(scores, abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_an_answers_likelihood_is_the_mean_of_its_tokens_with_its_end(beams: int) -> None:
    """The oracle: one forward over prompt and answer. An answer that is cut short has no end, and
    of one that ends at once the end is all that was said."""
    model, some = family("llama"), vectors(6)
    answers = token_ids(read(model, ASKED, some, FIRST, Decoding(6, 64, beams=beams)))
    ends = [answers[0][2], answers[1][0]]
    found = read(model, ASKED, some, FIRST, Decoding(6, 64, beams=beams), ends)
    for vector, answer, said in zip(some, found, token_ids(found), strict=True):
        # Which of the ends ended it is not told; one of them did.
        whole = [[*said, end] for end in ends] if len(said) < 6 else [said]
        expected = [
            answer_probabilities(model, [ASKED], vector[None], FIRST, torch.tensor([ids]))
            for ids in whole
        ]
        means = [float(probabilities.log().mean().exp()) for probabilities in expected]
        assert any(answer.likelihood == pytest.approx(mean, rel=1e-4) for mean in means)
    assert min(map(len, token_ids(found))) < 6


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_known_block_inputs_and_equal_answers_are_not_computed_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks below the injection say the same without it, and equal openings are one row."""
    model, how = family(name), Injection(2, "replace", 1.0)
    some = vectors(3)[[0, 1, 2, 0, 1, 0]]
    tokens: dict[int, list[int]] = {0: [], 2: []}
    found_twice: list[Tensor] = []

    def watched(*given: Any) -> Tensor:
        blocks = decoder_blocks(model)
        handles = [
            blocks[number].mlp.register_forward_pre_hook(
                lambda _, args, number=number: tokens[number].append(args[0].shape[:-1].numel())
            )
            for number in tokens
        ]
        found_twice.append(plain_probabilities(*given))
        for handle in handles:
            handle.remove()
        found_twice.append(plain_probabilities(*given[:-2]))  # with every block
        return found_twice[0]

    monkeypatch.setattr(interpret_module, "plain_probabilities", watched)
    found = read(model, ASKED, some, how, Decoding(9, 6))
    torch.testing.assert_close(found_twice[0], found_twice[1], atol=1e-6, rtol=0)
    distinct = {tuple(answer) for answer in token_ids(found)}
    assert not tokens[0]
    assert 0 < sum(tokens[2]) <= 8 * len(distinct) < 8 * len(found)


@pytest.mark.parametrize("mode", ["replace", "add", "norm_matched"])
@pytest.mark.parametrize("block", range(4))
def test_every_block_and_mode_injects_as_its_formula(block: int, mode: Any) -> None:
    model, how = family("llama"), Injection(block, mode, 0.8)
    tokens, scores = plainly(model, ASKED, vectors(1), how, 4)
    (found,) = read(model, ASKED, vectors(1), how, Decoding(4, 1))
    assert token_ids([found]) == [tokens]
    assert found.relevancy == pytest.approx(scores, abs=1e-6)
    assert found.absolute == pytest.approx([abs(score) for score in scores], abs=1e-6)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mistral", "gpt_neox"])
def test_prompts_of_different_lengths_in_a_batch_answer_as_alone(name: str) -> None:
    model, some, how = family(name), vectors(4), Injection(1, "replace", 1.0)
    prompts = [ASKED, OTHER, OTHER, ASKED]
    found = read(model, prompts, some)
    for answer, prompt, vector in zip(found, prompts, some, strict=True):
        tokens, scores = plainly(model, prompt, vector[None], how, 6)
        assert token_ids([answer]) == [tokens]
        assert answer.relevancy == pytest.approx(scores, abs=1e-5)


def test_every_slot_gets_the_vector_of_its_number() -> None:
    model, how = family("llama"), Injection(1, "replace", 1.0)
    two = torch.stack([vectors(3), vectors(6)[3:]], 1)
    asked = Prompt(ASKED.ids, ASKED.slots, (0, 1, 0))
    mixed = Prompt(OTHER.ids, OTHER.slots, (1, 0))
    for prompts in ([asked], [mixed, asked, mixed]):
        found = read(model, prompts, two)
        for row, answer in enumerate(found):
            prompt = prompts[row % len(prompts)]
            tokens, scores = plainly(model, prompt, two[row], how, 6)
            assert token_ids([answer]) == [tokens]
            assert answer.relevancy == pytest.approx(scores, abs=1e-5)
    same = torch.stack([vectors(3)] * 2, 1)
    assert token_ids(read(model, asked, same)) == token_ids(read(model, ASKED, vectors(3)))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_rows_that_end_change_no_other_row(name: str) -> None:
    """Ends are chosen so that answers end at different steps; nothing after them has a score."""
    model, some = family(name), vectors(12)
    whole = read(model, ASKED, some, decoding=Decoding(8, 64))
    ends = sorted({tokens[step] for step, tokens in zip((0, 2, 4), token_ids(whole), strict=False)})
    for size in (64, 5):
        found = read(model, ASKED, some, decoding=Decoding(8, size), ends=ends)
        lengths = set()
        for cut, answer in zip(found, whole, strict=True):
            tokens = token_ids([answer])[0]
            length = next((p for p, token in enumerate(tokens) if token in ends), len(tokens))
            assert token_ids([cut]) == [tokens[:length]]
            assert cut.relevancy == pytest.approx(answer.relevancy[:length], abs=1e-5)
            lengths.add(length)
        assert len(lengths) > 1


@torch.no_grad()
def test_injecting_the_state_that_is_there_changes_nothing() -> None:
    """The identity patch: relevancy 0, and the answer to the prompt as it is."""
    for name in ("llama", "gpt2", "gemma2"):
        model = family(name)
        own = hidden_states(model, torch.tensor([ASKED.ids]), None, [2])[2][0, list(ASKED.slots)]
        apart = Prompt(ASKED.ids, ASKED.slots, (0, 1, 2))
        found = read(model, apart, own[None], Injection(2, "replace", 1.0))
        assert token_ids(found) == token_ids(read(model, ASKED, None))
        assert found[0].relevancy == pytest.approx([0.0] * 6, abs=1e-6)
        other = read(model, apart, -own[None], Injection(2, "replace", 1.0))
        assert max(other[0].absolute) > 1e-3


def test_samples_follow_the_injected_distribution_and_depend_on_the_seed_alone() -> None:
    model, some = family("llama"), vectors(40)
    drawn = [token_ids(read(model, ASKED, some, decoding=Decoding(4, s, 1.0))) for s in (64, 7)]
    assert drawn[0] == drawn[1]
    assert token_ids(read(model, ASKED, some, decoding=Decoding(4, 64, 1.0, seed=1))) != drawn[0]
    cold = read(model, ASKED, some, decoding=Decoding(4, 64, 1e-4))
    assert token_ids(cold) == token_ids(read(model, ASKED, some, decoding=Decoding(4, 64)))
    many = read(model, ASKED, vectors(1).expand(3000, -1), decoding=Decoding(1, 3000, 1.5))
    shares = torch.bincount(torch.tensor(token_ids(many))[:, 0], minlength=97) / 3000
    sure = next_token_probabilities(model, ASKED.ids, ASKED, vectors(1), FIRST)
    expected = (sure.log() / 1.5).softmax(0)
    assert torch.allclose(shares, expected, atol=0.04)
    token = int(expected.argmax())
    plain = next_token_probabilities(model, ASKED.ids, ASKED, None, FIRST)
    scores = [r.relevancy[0] for r in many if r.tokens == (str(token),)]
    assert scores == pytest.approx([float(sure[token] - plain[token])] * len(scores), abs=1e-6)


@pytest.mark.parametrize("prompts", [[ASKED], [ASKED, OTHER]])
def test_beam_search_is_beams_grown_by_hand_under_the_injection(prompts: list[Prompt]) -> None:
    """The oracle: beams grown by hand, every pass from the start with the vector written anew."""
    model, how, beams, steps = family("llama"), Injection(1, "replace", 1.0), 3, 4
    found = read(model, prompts, vectors(2), how, Decoding(steps, 64, beams=beams))
    for row, answer in enumerate(found):
        prompt, vector = prompts[row % len(prompts)], vectors(2)[row : row + 1]
        kept: list[tuple[float, list[int]]] = [(0.0, [])]
        for _ in range(steps):
            grown = []
            for score, tokens in kept:
                likely = next_token_probabilities(
                    model, [*prompt.ids, *tokens], prompt, vector, how
                ).log()
                grown += [(score + float(s), [*tokens, t]) for t, s in enumerate(likely)]
            kept = sorted(grown, reverse=True)[:beams]
        best = kept[0][1]
        assert token_ids([answer]) == [best]
        for step, score in enumerate(answer.relevancy):
            before = [*prompt.ids, *best[:step]]
            gap = next_token_probabilities(
                model, before, prompt, vector, how
            ) - next_token_probabilities(model, before, prompt, None, how)
            assert score == pytest.approx(float(gap[best[step]]), abs=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_a_bfloat16_model_answers_alike_with_and_without_shared_prefixes(name: str) -> None:
    """What is kept from pass to pass gives what answer every prompt by itself does."""
    model: Any = new_family(name).to(torch.bfloat16)
    found = read(model, ASKED, vectors(3).double())
    alone = read(model, [ASKED] * 3, vectors(3).double())
    assert token_ids(found) == token_ids(alone)
    for answer, other in zip(found, alone, strict=True):
        assert len(answer.tokens) == 6
        assert answer.relevancy == pytest.approx(other.relevancy, abs=5e-3)


def test_prompts_without_vectors_are_answered_as_alone_with_relevancy_0() -> None:
    model = family("qwen2")
    found = read(model, [ASKED, OTHER], None)
    for answer, prompt in zip(found, (ASKED, OTHER), strict=True):
        (alone,) = read(model, prompt, None)
        assert answer.tokens == alone.tokens
        assert answer.relevancy == (0.0,) * 6


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
    "block": ({"how": Injection(4, "replace", 1.0)}, "block 4: the model has blocks 0 to 3"),
    "mode": ({"how": Injection(1, "multiply", 1.0)}, "mode 'multiply'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_vectors_that_do_not_fit_are_refused_in_one_line(
    change: dict[str, Any], message: str
) -> None:
    kwargs: dict[str, Any] = {"prompts": ASKED, "written": vectors(5)} | change
    with pytest.raises(ValueError, match=message) as refused:
        read(family("llama"), **kwargs)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "at least 1"),
        ({"temperature": -1.0}, "temperature -1.0"),
        ({"beams": 2, "temperature": 1.0}, "beam search here does not sample"),
    ],
)
def test_decoding_out_of_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Decoding(**({"max_new_tokens": 5, "per_batch": 5} | settings))


def test_equal_states_are_interpreted_alike_and_nothing_has_relevancy_0(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    some = vectors(3, 16)
    found = interpret_states(model, encoder, torch.cat([some, some]), params.asking, params.selfie)
    assert found[:3] == found[3:]
    assert found[:3] == interpret_states(model, encoder, some, params.asking, params.selfie)
    (nothing,) = interpret_states(model, encoder, None, params.asking, params.selfie)
    assert nothing.relevancy == (0.0,) * len(nothing.tokens)
    with pytest.raises(InputError, match="not finite"):
        interpret_states(model, encoder, some * float("nan"), params.asking, params.selfie)
