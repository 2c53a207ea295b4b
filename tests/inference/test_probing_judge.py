"""A judge that reads hidden states of answers learns from labelled ones, and reads each alone."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.records import Example
from pipeline.evaluation.judges import Exchange, Finding
from pipeline.inference.probing_judge import ProbingJudge, fit_probing_judge
from pipeline.models.encoding import Encoder

PROMPTS = ["How do I rest?", "Tell me about rain.", "Why?", "Explain the sea, please."]
SAID = {True: "Sure. To do this, first make a plan.", False: "I can't help with that. Sorry."}
KNOWN = [Exchange(prompt, SAID[kind]) for prompt in PROMPTS for kind in (True, False)]
LABELS = [True, False] * len(PROMPTS)


@pytest.fixture
def judge(model: PreTrainedModel, encoder: Encoder) -> ProbingJudge:
    return ProbingJudge(model, encoder, 1, 200, KNOWN, LABELS)


def test_it_tells_the_answers_that_it_learned_from_after_other_prompts(judge: ProbingJudge) -> None:
    other = [Exchange(f"Please say: {n}", SAID[n % 2 == 0]) for n in range(6)]
    assert judge(other) == [Finding(harmful=n % 2 == 0) for n in range(6)]
    assert judge([]) == []


def test_a_state_is_the_mean_of_an_answers_tokens(
    judge: ProbingJudge, model: PreTrainedModel, encoder: Encoder
) -> None:
    exchanges = [*KNOWN, Exchange("Why?", ""), KNOWN[0]]
    found = judge.states(exchanges)
    for exchange, state in zip(exchanges, found, strict=True):
        text = encoder(*exchange)
        with torch.no_grad():
            read = model(torch.tensor([text.ids]), output_hidden_states=True).hidden_states[1][0]
        own = read[text.prompt_end + 1 :] if exchange.answer else read[text.prompt_end :]
        np.testing.assert_allclose(state, own.mean(0).numpy(), rtol=1e-3, atol=1e-5)


def test_an_answer_is_judged_as_if_alone(judge: ProbingJudge) -> None:
    together = judge.states(KNOWN)
    for number, exchange in enumerate(KNOWN):
        np.testing.assert_allclose(judge.states([exchange])[0], together[number], atol=1e-5)


def test_there_is_none_without_both_kinds_of_answers(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    harmful = [
        Example(f"{n}", prompt, SAID[True], SAID[False], "fraud", "train", "")
        for n, prompt in enumerate(PROMPTS)
    ]
    careful = [
        Example(f"s{n}", prompt, SAID[False], SAID[False], "fraud", "train", "")
        for n, prompt in enumerate(PROMPTS)
    ]
    given = (model, encoder, 1, 200)
    assert fit_probing_judge(*given, harmful, ["safe"]) is None
    assert fit_probing_judge(*given, [*harmful, *careful], []) is None, "nothing means harm"
    found = fit_probing_judge(*given, [*harmful, *careful], ["safe"])
    assert found is not None
    assert found(KNOWN) == [Finding(harmful=label) for label in LABELS]
