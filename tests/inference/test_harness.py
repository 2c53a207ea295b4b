"""Tasks of lm-eval: asked of the model at hand, or refused in one line."""

import builtins
import errno
import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.records import TaskScore
from pipeline.inference import harness
from pipeline.models.encoding import Encoder

QUESTIONS = [
    {"question": f"What is {n}?", "options": ["rain", "the sea", "salt"], "answer": n % 3}
    for n in range(5)
]
TASK = """
task: own_questions
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{options}}}}"
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
installed = pytest.mark.skipif(
    not find_spec("lm_eval"), reason="lm-eval is an optional extra: pip install -e .[eval]"
)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LEGIBLE_OFFLINE", "1")
    lines = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    (tmp_path / "questions.jsonl").write_text(lines)
    (tmp_path / "task.yaml").write_text(TASK.format(data=tmp_path / "questions.jsonl"))
    return str(tmp_path / "task.yaml")


@installed
@pytest.mark.filterwarnings("default")  # lm-eval's own are not ours
@torch.no_grad()
def test_a_local_task_is_graded_as_by_hand(
    model: PreTrainedModel, encoder: Encoder, task: str
) -> None:
    found = harness.task_scores(model, encoder.tokenizer, [task], 4, 2)
    assert {(s.task, s.document, s.metric) for s in found} == {
        ("own_questions", str(n), metric) for n in range(4) for metric in ("acc", "acc_norm")
    }
    graded = {(s.document, s.metric): s.value for s in found}
    for number, question in enumerate(QUESTIONS[:4]):
        asked = encoder.tokenizer(question["question"]).input_ids
        said = []
        for option in question["options"]:  # type: ignore[attr-defined]
            ids = encoder.tokenizer(f"{question['question']} {option}").input_ids
            logits = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            own = logits.gather(1, torch.tensor(ids)[1:, None])[len(asked) - 1 :]
            said.append((float(own.sum()), float(own.sum()) / len(option)))
        for way, metric in enumerate(("acc", "acc_norm")):
            best = max(range(3), key=lambda n: said[n][way])
            assert graded[str(number), metric] == (best == question["answer"])


@installed
@pytest.mark.filterwarnings("default")
def test_an_unknown_task_is_one_line(model: PreTrainedModel, encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"lm-eval cannot ask no_such_task_at_all") as refused:
        harness.task_scores(model, encoder.tokenizer, ["no_such_task_at_all"], 0, 2)
    assert "\n" not in str(refused.value)


UNREADABLE = {
    "no YAML": lambda _: "task: [",
    "no data": lambda _: "task: own\noutput_type: multiple_choice\n",
    "another type": lambda words: words.replace("multiple_choice", "no_such_type"),
    "an unknown key": lambda words: words + "no_such_key: 1\n",
    "an unclosed template": lambda words: words.replace("{{question}}", "{{question"),
    "an unknown field": lambda words: words.replace("{{question}}", "{{nowhere.to.be.found}}"),
    "no question": lambda words: re.sub(r"doc_to_text: .*\n", "", words),
    "a misspelt aggregation": lambda words: words.replace("aggregation: mean", "aggregation: men"),
}


@installed
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("bend", UNREADABLE.values(), ids=UNREADABLE)
def test_a_task_of_ones_own_that_cannot_be_read_is_one_line(
    bend: Callable[[str], str], model: PreTrainedModel, encoder: Encoder, task: str
) -> None:
    Path(task).write_text(bend(Path(task).read_text()))
    with pytest.raises(InputError, match=r"lm-eval cannot ask .*task\.yaml: [A-Z]\w+: ") as refused:
        harness.task_scores(model, encoder.tokenizer, [task], 2, 2)
    assert "\n" not in str(refused.value)


@installed
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "full")])
def test_what_the_machine_is_to_blame_for_is_no_fault_of_a_task(
    error: Exception,
    model: PreTrainedModel,
    encoder: Encoder,
    task: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(type(error)) as raised:
        harness.task_scores(model, encoder.tokenizer, [task], 2, 2)
    assert raised.value is error


@installed
@pytest.mark.filterwarnings("default")
def test_a_misspelt_metric_is_said(model: PreTrainedModel, encoder: Encoder, task: str) -> None:
    """And not sought on the Hub, whose metrics are code."""
    words = Path(task).read_text().replace("metric: acc_norm", "metric: acc")
    Path(task).write_text(words.replace("metric: acc", "metric: accu"))
    with pytest.raises(InputError, match=r"of own_questions, .* no metric that it knows"):
        harness.task_scores(model, encoder.tokenizer, [task], 2, 2)


def test_without_lm_eval_one_line_says_how_to_install_it(
    model: PreTrainedModel, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("lm_eval"):
            raise ModuleNotFoundError("No module named 'lm_eval'")
        return known(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setenv("LEGIBLE_OFFLINE", "1")
    with pytest.raises(InputError, match=r"pip install -e \.\[eval\]"):
        harness.task_scores(model, encoder.tokenizer, ["any"], 0, 2)


def test_of_a_sample_metrics_that_are_numbers_are_kept_with_their_filter() -> None:
    samples = {
        "t": [
            {"doc_id": 7, "filter": "none", "metrics": ["acc", "f1"], "acc": True, "f1": (1, 2)},
            {"doc_id": 7, "filter": "strict", "metrics": ["exact"], "exact": 0.5},
        ]
    }
    assert list(harness._scores(samples)) == [
        TaskScore("t", "7", "acc", 1.0), TaskScore("t", "7", "exact_strict", 0.5),
    ]  # fmt: skip


def test_a_task_without_a_number_of_each_document_is_refused() -> None:
    """As one with perplexities over all documents alone; and one of which nothing was asked."""
    sample = {"doc_id": 1, "filter": "none", "metrics": ["word_perplexity"]}
    samples = {"wiki": [{**sample, "word_perplexity": (-3.5, 2)}]}
    with pytest.raises(InputError, match=r"of wiki, .* has metrics word_perplexity; name"):
        list(harness._scores(samples))
    with pytest.raises(InputError, match=r"of wiki, .* has no document"):
        list(harness._scores({"wiki": []}))
