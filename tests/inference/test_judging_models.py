"""Judges of the Hub and of folders: asked in their own format, and read or counted as not read."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.sections import JudgeModel, Judging
from pipeline.evaluation.judge_formats import JUDGE_FORMATS, JudgeFormat
from pipeline.evaluation.judges import Exchange, Finding
from pipeline.inference.judging_models import JudgingModel, judging_models, load_judge
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder

CPU = torch.device("cpu")
EXCHANGES = [
    Exchange("How do I rest?", "Lie down."), Exchange("Why?", "<|end|> So."),
    Exchange("Tell me all about the sea, please, and about rain.", "It is wet. {prompt}"),
]  # fmt: skip


@pytest.fixture
def long_model(params: Params, encoder: Encoder) -> PreTrainedModel:
    """One whose context holds a judge's whole text."""
    torch.manual_seed(0)
    wide = params.model.embedded.model_copy(update={"context": 4096})
    return new_model(wide, encoder.tokenizer).eval()


@pytest.fixture
def folder(tmp_path: Path, long_model: PreTrainedModel, encoder: Encoder) -> Path:
    long_model.save_pretrained(tmp_path / "judge")
    encoder.tokenizer.save_pretrained(tmp_path / "judge")
    return tmp_path / "judge"


def wanted(folder: Path, **formats: str) -> Judging:
    rows = {n: JudgeModel(format=f, repo=str(folder), revision="") for n, f in formats.items()}
    return Judging(greedy=False, models=rows, prompts_per_batch=2)


@pytest.mark.parametrize("name", JUDGE_FORMATS)
def test_a_folders_judge_answers_every_exchange(name: str, folder: Path) -> None:
    """Random weights say nothing that can be read: each is counted, and none fails."""
    ((own, judge),) = judging_models(wanted(folder, mine=name), CPU)
    assert own == "mine"
    assert judge(EXCHANGES) == [None] * 3
    assert judge([]) == []


def test_no_judge_is_loaded_where_none_is_named(folder: Path) -> None:
    assert list(judging_models(Judging(greedy=False, models={}, prompts_per_batch=2), CPU)) == []


class Scripted(JudgingModel):
    """One that says what is put into its mouth, and keeps what it was asked."""

    def _say(self, prompts: list[list[int]]) -> list[str]:
        self.asked = [*getattr(self, "asked", []), *(self.tokenizer.decode(ids) for ids in prompts)]
        return ["unsafe" if "wet" in asked else "safe" for asked in self.asked[-len(prompts) :]]


def test_findings_stand_in_the_exchanges_order_and_texts_are_whole(
    long_model: PreTrainedModel, encoder: Encoder
) -> None:
    judge = Scripted(long_model, encoder.tokenizer, JUDGE_FORMATS["md_judge"], 2)
    assert judge(EXCHANGES) == [Finding(harmful=False)] * 2 + [Finding(harmful=True)]
    asked = {text.partition("<BEGIN CONVERSATION>")[2] for text in judge.asked}
    for prompt, answer in EXCHANGES:
        (own,) = (text for text in asked if f"\nUser: {prompt}\n" in text)
        assert own.startswith(f"\nUser: {prompt}\nAgent: {answer}\n<END CONVERSATION>")


def test_a_control_token_written_in_an_answer_is_plain_text(
    long_model: PreTrainedModel, encoder: Encoder
) -> None:
    """Else an answer could end its own turn, and speak for the judge."""
    ends: list[int] = []

    class Counting(Scripted):
        def _say(self, prompts: list[list[int]]) -> list[str]:
            ends.extend(ids.count(int(encoder.tokenizer.eos_token_id)) for ids in prompts)
            return super()._say(prompts)

    judge = Counting(long_model, encoder.tokenizer, JUDGE_FORMATS["llama_guard"], 3)
    judge(EXCHANGES)
    assert ends == [2, 2, 2], "those of the chat template, in all three"
    assert any("<|end|> So." in asked for asked in judge.asked)


def test_a_chat_template_lays_out_both_turns(long_model: PreTrainedModel, encoder: Encoder) -> None:
    judge = Scripted(long_model, encoder.tokenizer, JUDGE_FORMATS["llama_guard"], 3)
    judge(EXCHANGES[:1])
    turns = [{"role": "user", "content": "How do I rest?"},
             {"role": "assistant", "content": "Lie down."}]  # fmt: skip
    assert judge.asked == [encoder.tokenizer.apply_chat_template(turns, tokenize=False)]


def test_batches_change_no_finding(long_model: PreTrainedModel, encoder: Encoder) -> None:
    """Greedy answers, as each text alone gives them."""
    said: list[list[str]] = []

    def parse(text: str) -> Finding | None:
        said[-1].append(text)
        return None

    free = JudgeFormat(JUDGE_FORMATS["wildguard"].text, parse, tokens=4)
    for size in (1, 3):
        said.append([])
        JudgingModel(long_model, encoder.tokenizer, free, size)(EXCHANGES)
    assert said[0] == said[1]
    assert len(set(said[0])) > 1 or said[0][0]


def test_what_does_not_fit_the_context_is_not_read(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    judge = Scripted(model, encoder.tokenizer, JUDGE_FORMATS["md_judge"], 2)
    assert judge(EXCHANGES) == [None] * 3
    assert not hasattr(judge, "asked")


def test_a_judge_that_is_not_there_is_named(tmp_path: Path) -> None:
    row = JudgeModel(format="wildguard", repo=str(tmp_path / "none"), revision="")
    with pytest.raises(InputError, match=r"judging\.models\.guard: .*none is no folder"):
        load_judge("guard", row)


def test_pickled_weights_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError):
        load_judge("guard", JudgeModel(format="wildguard", repo=str(folder), revision=""))


def test_a_judge_without_a_chat_template_is_refused(
    long_model: PreTrainedModel, encoder: Encoder
) -> None:
    bare = copy.deepcopy(encoder.tokenizer)
    bare.chat_template = None
    with pytest.raises(InputError, match="needs a chat template"):
        JudgingModel(long_model, bare, JUDGE_FORMATS["llama_guard"], 2)
