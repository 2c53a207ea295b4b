"""What fits: presets at the same depth, memory that holds, steps that end in time."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from commands.start import fitting
from commands.start.fitting import Machine, ModelSize, TextSize, planned
from pipeline.core.console import InputError
from pipeline.core.sections import DType
from tests.core.test_presets import DEPTHS
from tests.support.dag import ROOT

SMOLLM = ModelSize(blocks=30, width=576, weights=135_000_000, context=8192)
LLAMA = ModelSize(blocks=32, width=4096, weights=8_000_000_000, context=8192)
LAPTOP = Machine("cpu", 4, 16e9, 5e11, has_bfloat16=False)
CARD = Machine("cuda", 16, 80e9, 2e14, has_bfloat16=True)
TEXTS = TextSize(count=2000, prompt=40, response=60)

models = st.builds(
    ModelSize,
    blocks=st.integers(2, 80),
    width=st.integers(64, 8192),
    weights=st.integers(10**6, 10**11),
    context=st.integers(256, 10**5),
)
machines = st.builds(
    Machine,
    device=st.sampled_from(["cpu", "cuda", "mps"]),
    cores=st.integers(1, 64),
    memory=st.floats(1e9, 1e11),
    speed=st.floats(1e9, 1e15),
    has_bfloat16=st.booleans(),
)


def leaves(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = leaves(value) if isinstance(value, dict) else {"": value}
        found |= {f"{key}.{name}".rstrip("."): leaf for name, leaf in inner.items()}
    return found


@pytest.mark.parametrize(("name", "depth"), DEPTHS.items())
def test_presets_stand_at_the_depth_that_any_model_is_given(
    name: str, depth: tuple[int, int]
) -> None:
    own = leaves(YAML(typ="safe").load(ROOT / "presets" / f"{name}.yaml"))
    assert leaves(fitting.depths_of(depth[0])).items() <= own.items()


@given(models, machines, st.integers(1, 600), st.integers(0, 600), st.floats(1, 1e6))
def test_a_plan_fits_its_memory_and_the_context_or_is_refused(
    model: ModelSize, machine: Machine, prompt: int, response: int, seconds: float
) -> None:
    dtype = fitting.dtype_of(model, machine)
    texts = TextSize(500, prompt, response)
    tokens = sum(fitting.cut_of(texts, model, machine.device).values())
    if fitting.memory_of_least(model, dtype, tokens) > machine.memory:
        return
    plan = planned(model, dtype, texts, machine, seconds)
    pairs = plan.passes["pairs_per_pass"] or fitting.PAIRS_PER_STEP
    tokens = plan.cut["prompt_tokens"] + plan.cut["response_tokens"] * bool(response)
    need = fitting.step_memory(model, dtype, tokens, pairs, plan.passes["checkpointing"])
    assert need + fitting.SPARE <= machine.memory
    assert sum(plan.cut.values()) < model.context
    assert fitting.FEWEST_STEPS <= plan.steps <= fitting.MOST_STEPS
    if plan.steps > fitting.FEWEST_STEPS:
        assert plan.seconds <= seconds * 1.001


def test_more_time_is_more_steps_and_less_memory_smaller_passes() -> None:
    hour, day = (planned(SMOLLM, "float32", TEXTS, LAPTOP, 3600 * h) for h in (1, 24))
    assert hour.steps < day.steps
    assert hour.passes == {"checkpointing": False, "pairs_per_pass": 0}
    small = Machine("cpu", 2, 4e9, 5e11, has_bfloat16=False)
    passes = planned(SMOLLM, "float32", TEXTS, small, 3600).passes
    assert passes["checkpointing"]
    with pytest.raises(InputError, match=r"a finetune needs \d+\.\d GB, and cpu has 16.0 GB free"):
        planned(LLAMA, "float32", TEXTS, LAPTOP, 3600)


@pytest.mark.parametrize(
    ("model", "machine", "dtype"),
    [(SMOLLM, LAPTOP, "float32"), (LLAMA, CARD, "bfloat16"),
     (LLAMA, Machine("cuda", 8, 12e9, 1e13, True), "nf4")],
)  # fmt: skip
def test_weights_are_as_wide_as_there_is_room(
    model: ModelSize, machine: Machine, dtype: DType
) -> None:
    assert fitting.dtype_of(model, machine) == dtype


def test_the_rate_of_small_models_is_not_that_of_large_ones() -> None:
    assert fitting.rate_of(SMOLLM) == 1e-3
    paper = YAML(typ="safe").load(Path(ROOT / "presets/llama-3.1-8b.yaml"))
    assert fitting.rate_of(LLAMA) == paper["finetune"]["learning_rate"]


def test_too_little_time_is_said() -> None:
    for seconds, is_said in ((1, True), (36000, False)):
        (line,) = planned(SMOLLM, "float32", TEXTS, LAPTOP, seconds).lines(TEXTS, LAPTOP)[-1:]
        assert line.endswith("more than is at hand") == is_said


def test_texts_without_a_response_need_no_room_for_one() -> None:
    alone = planned(SMOLLM, "float32", TextSize(2000, 40, 0), LAPTOP, 3600)
    assert alone.steps > planned(SMOLLM, "float32", TEXTS, LAPTOP, 3600).steps
    assert alone.cut == {"prompt_tokens": 48, "response_tokens": 16}
