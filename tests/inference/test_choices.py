"""Options are weighed as they would be one by one, from where they differ."""

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.records import Choice, Question
from pipeline.core.sections import Text
from pipeline.inference.choices import choices
from pipeline.models.encoding import Encoder

QUESTIONS = [
    Question("q1", "options", "Which?\nA. the rain\nB. sea",
             ("Answer: A. the rain", "Answer: B. sea"), 1),
    Question("q2", "continuation", "Why does it rain so much?",
             ("Clouds carry it.", "No.", "The sea is salt and very deep."), 0),
]  # fmt: skip


def weighed(model: PreTrainedModel, encoder: Encoder, tokens: int = 4096) -> list[Choice]:
    return choices(model, encoder, QUESTIONS, tokens)


@torch.no_grad()
def test_options_are_weighed_as_one_by_one(model: PreTrainedModel, encoder: Encoder) -> None:
    found = weighed(model, encoder)
    assert [(c.question, c.task, c.option, c.right) for c in found] == [
        (q.id, q.task, n, n == q.right) for q in QUESTIONS for n in range(len(q.options))
    ]
    for question in QUESTIONS:
        own = [c for c in found if c.question == question.id]
        texts = encoder.unended([(question.prompt, option) for option in question.options])
        whole = []
        for text in texts:
            ids = torch.tensor([text.ids])
            said = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
            whole.append(-float(said[text.prompt_end :].sum()))
        # What all options begin with changes no difference between them.
        for one, nll in zip(own, whole, strict=True):
            assert one.nll - own[0].nll == pytest.approx(nll - whole[0], abs=1e-4)


def test_what_all_options_begin_with_is_not_weighed(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    listed = [c for c in weighed(model, encoder) if c.task == "options"]
    for one, option in zip(listed, QUESTIONS[0].options, strict=True):
        assert 0 < one.bytes < len(option.encode())
    alike = Question("q", "t", "Why?", ("yes it is", "yes it is"), 0)
    one, other = choices(model, encoder, [alike], 4096)
    assert one.nll == other.nll > 0


def test_batches_change_nothing(model: PreTrainedModel, encoder: Encoder) -> None:
    for one, other in zip(weighed(model, encoder), weighed(model, encoder, tokens=1), strict=True):
        assert one.nll == pytest.approx(other.nll, abs=1e-4)
        assert one.bytes == other.bytes


def test_long_options_are_cut_as_responses_are(model: PreTrainedModel, encoder: Encoder) -> None:
    short = Encoder(encoder.tokenizer, Text(prompt_tokens=9, response_tokens=2))
    cut = choices(model, short, QUESTIONS, 4096)
    assert all(c.bytes > 0 for c in cut)
    assert max(c.bytes for c in cut) < max(c.bytes for c in weighed(model, encoder))


def test_nothing_is_asked_of_nothing(model: PreTrainedModel, encoder: Encoder) -> None:
    assert choices(model, encoder, [], 4096) == []


def test_what_is_not_finite_is_one_line(model: PreTrainedModel, encoder: Encoder) -> None:
    weight = model.get_output_embeddings().weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(torch.nan)
    try:
        with pytest.raises(InputError):
            weighed(model, encoder)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
