"""Tasks of lm-eval (EleutherAI's language model evaluation harness), asked of a model at hand."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core import crowded
from pipeline.core.console import InputError, is_out_of_memory, one_line
from pipeline.core.records import TaskScore
from pipeline.hub.client import connected

FILE = (".yaml", ".yml")  # how a task of one's own ends


def task_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[str],
    limit: int,
    per_batch: int,
) -> list[TaskScore]:
    """What lm-eval makes of every document of some tasks, by each of a task's metrics that are
    means over documents (`acc`, `acc_norm`, `exact_match`).

    tasks: their names in lm-eval, groups of them too, or YAML files of one's own. limit: at most so
    many documents of each, 0 for all. A task's data is fetched where it names a dataset of the Hub.
    Raises InputError where lm-eval is not installed, for a task that is unknown or cannot be read,
    where its data cannot be had, and for a task that has no such metric.
    """
    with connected():  # the library that fetches data remembers whether it may, once it is imported
        simple_evaluate, hf_model, task_manager = _imported()
        asked = hf_model(model, backend="causal", tokenizer=tokenizer, batch_size=per_batch)
        by_name = any(not name.endswith(FILE) for name in tasks)  # reads 14,000 files, slowly
        try:
            found = simple_evaluate(
                asked,
                tasks=list(tasks),
                limit=limit or None,
                bootstrap_iters=0,
                task_manager=task_manager(include_defaults=by_name),
            )
        except Exception as error:  # whatever a task's file makes lm-eval, jinja and yaml raise
            if is_out_of_memory(error) or crowded.line_of(error):
                raise
            raise InputError(
                f"capability.harness: lm-eval cannot ask {', '.join(tasks)}: {one_line(error)}"
            ) from None
    return list(_scores(found["samples"]))


def _imported() -> tuple[Any, Any, Any]:
    """lm-eval's evaluation, its model of a transformers one, and what finds its tasks; they say
    nothing, and run no code of the Hub."""
    try:
        from evaluate import config as evaluate_config
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise InputError(
            f"capability.harness names tasks of lm-eval, which does not load ({error}); run "
            "`pip install -e .[eval]`, or empty the list"
        ) from None
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    evaluate_config.HF_EVALUATE_OFFLINE = True  # a metric that lm-eval lacks is code of the Hub
    return simple_evaluate, HFLM, TaskManager


def _scores(samples: dict[str, list[dict[str, Any]]]) -> Iterator[TaskScore]:
    for task, answered in samples.items():
        numbers, others = 0, set()
        for sample in answered:
            way = "" if sample["filter"] == "none" else f"_{sample['filter']}"
            for metric in sample["metrics"]:
                if isinstance(sample[metric], bool | int | float):
                    value = float(sample[metric])
                    yield TaskScore(task, str(sample["doc_id"]), f"{metric}{way}", value)
                    numbers += 1
                else:
                    others.add(metric)
        if not numbers:
            has = f"metrics {', '.join(sorted(others))}" if others else "no metric that it knows"
            raise InputError(
                f"capability.harness: of {task}, lm-eval gives no number of each document: it has "
                f"{has if answered else 'no document'}; name a task with a metric that is a mean "
                "over documents, such as acc"
            )
