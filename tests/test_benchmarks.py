"""Benchmarks compare like with like: the yardstick and ours agree where both are defined alike."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks import large_batch, real_cpu, real_size, selfie
from benchmarks.common import made_up_texts
from benchmarks.monitor import generate, new_model, new_monitor
from benchmarks.step import agreement, draw, new_bench, our_work, published_work
from pipeline.inference.live_monitor import watching


def test_our_step_is_the_published_mathematics() -> None:
    torch.manual_seed(0)
    table = made_up_texts(200)
    bench = new_bench(table)
    encoded = [bench.encoder(prompt, response) for prompt, response in table]
    assert 85 < sum(len(text.ids) for text in encoded) / len(encoded) < 95
    gaps = agreement(bench, encoded)
    assert set(gaps) == {"loss_max_rel_diff", "grad_max_rel_diff"}
    assert all(gap < 1e-5 for gap in gaps.values())
    short, chat = draw(encoded, lengthened=False), draw(encoded, lengthened=True)
    assert 400 < sum(len(text.ids) for text in chat.retained) / len(chat.retained) < 600
    assert our_work(short) < our_work(chat) < published_work()


def test_a_watched_answer_is_judged_at_every_token() -> None:
    """`generate` counts the judgements."""
    model = new_model("cpu")
    for position in ("last", "mean"):
        monitor = new_monitor(model, position)
        assert generate(model, lambda: watching(model, monitor), tokens=3) > 0  # noqa: B023
    assert generate(model, nullcontext, tokens=3) > 0


def test_our_interpretations_are_the_published_ones() -> None:
    found = selfie.agreement(selfie.new_bench(made_up_texts(200), 16))
    assert found["same_text"] == 1
    assert 0 < found["relevancy_max_abs_diff"] < 1e-5


class Counted(TorchDispatchMode):
    """The operations of matrix products, as torch counts them: on a CPU without attention's."""

    total = 0

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        called = func._overloadpacket
        called = torch.ops.aten.addmm if called is torch.ops.aten.addmm_ else called
        if count := flop_registry.get(called):
            self.total += count(*args, **(kwargs or {}), out_val=made)
        return made


def test_a_step_of_a_real_size_counts_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, device = real_size.SHAPES["tiny"], torch.device("cpu")
    bench = real_size.Bench(shape, device, torch.float32, checkpointing=False, half=64)
    thin = bench.finetune().model_copy(update={"lora_rank": 1, "lora_alpha": 1})
    monkeypatch.setattr(real_size.Bench, "finetune", lambda _: thin)
    texts = real_size.draw(1)[0]
    step = bench.ours(bench.adapted())
    with Counted() as counted:
        step(texts)
    lengths = [len(text.ids) for text in texts]
    expected = shape.step_work(lengths[:8], lengths[8:16], lengths[16:], attended=0)
    assert counted.total == pytest.approx(expected, rel=0.03)


def test_a_step_on_a_processor_counts_its_work() -> None:
    # So many blocks that what the first one spares, whose inputs need no gradient, is little.
    shape = replace(real_size.SHAPES["tiny"], layers=12, target=8)
    bench = real_size.Bench(shape, torch.device("cpu"), torch.float32, checkpointing=False)
    step, (texts, *_) = real_cpu.step_of(bench), real_cpu.draw(1)
    with Counted() as counted:
        step(texts)
    assert counted.total == pytest.approx(real_cpu.work_of(bench, texts, attended=0), rel=0.03)


def test_both_ways_of_a_real_size_are_measured() -> None:
    bench = real_size.Bench(
        real_size.SHAPES["tiny"], torch.device("cpu"), torch.float32, checkpointing=True, half=64
    )
    report = bench.compare(steps=1)
    assert report["tokens_per_step"] == sum(len(text.ids) for text in real_size.draw(1)[0])
    assert all(value > 0 for value in report.values())


def test_the_benchmark_of_large_batches_runs() -> None:
    """That passes add nothing to memory, tests/training/test_recompute.py holds."""
    assert large_batch.step_bytes(9) > 0
