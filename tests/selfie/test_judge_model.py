"""The judge model chooses by likelihood, for every text alike, and nothing for texts of nothing."""

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import says_something, speaks_of_concept, spoken
from pipeline.core.params import Params
from pipeline.core.records import Interpretation
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder
from pipeline.selfie.judge_model import judge_texts, log_likelihoods

CONCEPTS = ("fraud", "privacy", "a much longer name", "safe")
TEXTS = ["It is about a raffle.", "Why?", "Somebody sold the data of " + "many " * 20 + "people"]


def closed(params: Params) -> list[str]:
    return [params.asking.answer.replace("{concept}", spoken(name)) for name in CONCEPTS]


@torch.no_grad()
def plainly(
    model: PreTrainedModel, encoder: Encoder, params: Params, text: str, answer: str
) -> float:
    """The oracle: one text, one answer, no padding and no batch."""
    cut = params.text.prompt_tokens + params.text.response_tokens
    read = encoder.decode(encoder.contents(text)[:cut])
    prompt = encoder.turns([(params.asking.question.replace("{message}", read), "")])[0].ids
    target = encoder.contents(answer)
    logits = model(torch.tensor([[*prompt, *target]])).logits[0].float().log_softmax(-1)
    return sum(
        float(logits[len(prompt) + step - 1, token]) for step, token in enumerate(target)
    )  # each token by what stands before it


@pytest.mark.parametrize("per_batch", [1, 5, 64])
def test_likelihoods_are_those_of_answers_one_by_one(
    model: PreTrainedModel, encoder: Encoder, params: Params, per_batch: int
) -> None:
    answers = closed(params)
    assert len({len(encoder.contents(answer)) for answer in answers}) > 1
    found = log_likelihoods(model, encoder, TEXTS, answers, params.asking, per_batch)
    expected = [[plainly(model, encoder, params, t, a) for a in answers] for t in TEXTS]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-3, rtol=1e-5)


def test_scores_are_log_likelihoods_above_the_mean_and_the_best_is_chosen(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    answers = closed(params)
    found = judge_texts(model, encoder, TEXTS, CONCEPTS, params.asking, 8)
    assert [judged.text for judged in found] == sorted(TEXTS)
    for judged in found:
        scores = [
            plainly(model, encoder, params, judged.text, answer)
            - sum(plainly(model, encoder, params, said, answer) for said in answers) / len(answers)
            for answer in answers
        ]
        assert judged.scores == pytest.approx(scores, abs=1e-3)
        assert judged.concept == CONCEPTS[scores.index(max(scores))]


def blinded(model: PreTrainedModel, token: int) -> PreTrainedModel:
    """A judge that always finds one token likeliest, whatever it is shown."""
    head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()[token] = 10.0
    model.set_output_embeddings(head)
    return model


def test_a_judge_that_ignores_the_text_scores_every_concept_0(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    """The negative control: a judge that ignores the text scores every concept 0."""
    favourite = encoder.contents(closed(params)[0])[-2]
    blind = blinded(model, favourite)
    raw = log_likelihoods(blind, encoder, TEXTS, closed(params), params.asking, 8)
    assert int(raw[0].argmax()) == 0
    for judged in judge_texts(blind, encoder, TEXTS, CONCEPTS, params.asking, 8):
        assert judged.scores == pytest.approx([0.0] * len(CONCEPTS), abs=1e-4)


def test_equal_texts_are_judged_once_and_empty_ones_never(
    model: PreTrainedModel, encoder: Encoder, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(_: object, __: object, messages: list[str], *rest: object) -> torch.Tensor:
        asked.extend(messages)
        return torch.zeros(len(messages), len(CONCEPTS))

    monkeypatch.setattr("pipeline.selfie.judge_model.log_likelihoods", counted)
    texts = ["Why?", "", "Why?", " \n", "...", "Why?"]
    found = judge_texts(model, encoder, texts, CONCEPTS, params.asking, 8)
    assert [judged.text for judged in found] == ["Why?"]
    assert asked == [*closed(params), "Why?"]
    monkeypatch.undo()
    assert judge_texts(model, encoder, ["", "?!"], CONCEPTS, params.asking, 8) == []


def test_the_same_texts_are_judged_alike_in_any_order(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    found = judge_texts(model, encoder, TEXTS, CONCEPTS, params.asking, 8)
    assert judge_texts(model, encoder, TEXTS[::-1], CONCEPTS, params.asking, 8) == found
    torch.manual_seed(7)
    other = new_model(params.model.embedded, encoder.tokenizer).eval()
    assert judge_texts(other, encoder, TEXTS, CONCEPTS, params.asking, 8) != found


def test_a_text_that_says_nothing_names_no_concept() -> None:
    def interpretation(text: str) -> Interpretation:
        return Interpretation("e", "fraud", "test", 1, "last", "state", text, (), ())

    chosen = {"": "fraud", "money": "fraud", "bread": "safe"}
    assert [speaks_of_concept(interpretation(t), chosen) for t in ("", "money", "bread")] == [
        False, True, False,
    ]  # fmt: skip
    assert not speaks_of_concept(interpretation(" . "), {})
    with pytest.raises(KeyError):
        speaks_of_concept(interpretation("never judged"), chosen)
    assert all(map(says_something, ("7", "\u8a50\u6b3a")))
