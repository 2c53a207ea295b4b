"""Which params fit a model, its texts and a machine: arithmetic alone, from sizes to settings.

Rough on purpose, and on the careful side: what a run needs is estimated before anything is fetched.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.console import InputError
from pipeline.core.sections import DType

DEPTH = 26 / 32  # where the paper trains and reads: its block 25, counted from 0 (arXiv 2502.05242)
WEIGHT_BYTES: dict[DType, float] = {"float32": 4, "bfloat16": 2, "nf4": 0.6}  # of a weight
# What a block keeps of a token for the backward pass, in numbers a unit of its width (about 34
# bytes in 16 bits, arXiv 2205.05198, and the hidden layer of the MLP of a Llama).
KEPT = 24
FRAME_TOKENS = 20  # of a chat template, around a text
SPARE = 1.5e9  # bytes that libraries take, and what is made of states and logits a few at a time
SHARE = 0.8  # of the memory that a run may plan with
PAIRS_PER_STEP, RETAIN_PER_STEP = 12, 2
VARIANTS = ("base", "true_negatives", "shuffled")  # the loss, and its control
SHORT_EDITS = ("supervised", "random_target")
SMALL, SMALL_RATE = 5e8, 1.0e-3  # weights; the learning rate of models that have fewer
FEWEST_STEPS, MOST_STEPS = 20, 2000
WEIGHTS = {"retain_weight": 1.0, "penalty_weight": 3.0}


@dataclass(frozen=True)
class ModelSize:
    """weights: how many numbers the model has; context: the most tokens that it reads."""

    blocks: int
    width: int
    weights: int
    context: int


@dataclass(frozen=True)
class Machine:
    """memory: bytes where the model runs. speed: floating-point operations a second, of matrix
    products. has_bfloat16: whether it multiplies in 16 bits."""

    device: str
    cores: int
    memory: float
    speed: float
    has_bfloat16: bool


@dataclass(frozen=True)
class TextSize:
    """count: of labelled texts. prompt, response: tokens that 95 % of them have at most; response
    is 0 where no text has one."""

    count: int
    prompt: int
    response: int


def depths_of(blocks: int) -> dict[str, Any]:
    """Where a model is trained, read, asked and edited: the paper's depth, and quarters of the
    model beside it. Edits that params.yaml lacks are passed over."""
    top = round(DEPTH * blocks)
    low = max(1, blocks // 4)
    return {
        "finetune": {"target_layers": [top]},
        "extraction": {"layers": sorted({0, blocks // 4, blocks // 2, top, blocks})},
        "reading": {"layer": top},
        "asking": {"layer": top, "inject_layer": min(2, blocks - 1)},
        "control": {
            "edits": {
                "supervised": {"layer": low},
                "random_target": {"layer": low},
                "response": {"layer": low},
                "reinforcement": {"layer": min(top, blocks - 1)},
                "shuffled_rewards": {"layer": min(top, blocks - 1)},
            }
        },
    }


def rate_of(model: ModelSize) -> float:
    """The learning rate: what a small model was tuned to (benchmarks/results/real_models.md), and
    the paper's for others."""
    return SMALL_RATE if model.weights < SMALL else 1.0e-4


def short_run(blocks: int, steps: int, rate: float = SMALL_RATE) -> dict[str, Any]:
    """What makes a step of a few seconds and a run of an hour of a small pretrained model. It is
    finetuned at texts' last tokens, and read where its best probe is: at their means."""
    return {
        "pairs": {"count": steps * PAIRS_PER_STEP},
        "finetune": {
            "positions": ["last"],
            "states": "standardised",
            "learning_rate": rate,
            "pairs_per_step": PAIRS_PER_STEP,
            "retain_per_step": RETAIN_PER_STEP,
            "lora_dropout": 0.0,
            "penalty_texts": ["retain"],
            "watch_every": max(1, steps // 6),
        },
        "extraction": {"positions": ["last", "mean"]},
        "reading": {"position": "mean"},
        "generation": {"max_new_tokens": 24, "samples": 1},
        "streams": {"texts": 60},
        "further_training": {"steps": 0},
        "attacks": {"texts": 8, "monitors": ["logistic"], "passes": 32},
        "selfie": {"layers": [max(1, blocks // 3)], "texts_per_split": 48, "max_new_tokens": 8},
        "control": {"texts": 60, "reference_texts": 30, "requests": 40, "probed_texts": 20},
        "figures": {"compared": ["true_negatives"]},
    }


def keep_short(tree: Any, steps: int) -> None:
    """Leave those variants and edits of params.yaml that a short run has, with so many steps."""
    tree["variants"] = {name: row for name, row in tree["variants"].items() if name in VARIANTS}
    for row in tree["variants"].values():
        if row["steps"]:
            row.update(steps=steps, **WEIGHTS)
    edits = tree["control"]["edits"]
    tree["control"]["edits"] = {name: row for name, row in edits.items() if name in SHORT_EDITS}


def cut_of(texts: TextSize, model: ModelSize, device: str) -> dict[str, int]:
    """Tokens of prompts and responses that are read: all of nearly all texts, but no more than the
    device reads quickly or the model's context has room for beside a question."""
    most = 64 if device == "cpu" else 512
    room = max(8, (model.context - 128) // 2)
    return {
        "prompt_tokens": min(_rounded(texts.prompt), most, room),
        "response_tokens": min(_rounded(texts.response), most, room),
    }


def _rounded(tokens: int) -> int:
    """Up to a multiple of 16; never none."""
    return max(16, 16 * math.ceil(tokens / 16))


def dtype_of(model: ModelSize, machine: Machine) -> DType:
    """The widest numbers that are quick there and leave room: 4 bits only where 16 do not fit."""
    if machine.has_bfloat16:
        fits = WEIGHT_BYTES["bfloat16"] * model.weights + SPARE < SHARE * machine.memory
        return "bfloat16" if fits or not machine.device.startswith("cuda") else "nf4"
    return "float32"


def step_memory(
    model: ModelSize, dtype: DType, tokens: int, pairs: int, checkpointing: bool
) -> float:
    """Bytes that a finetune step takes beside the spare: weights, and what the backward pass needs
    of so many pairs, each of two texts of `tokens`."""
    wide = 4 if dtype == "float32" else 2
    read = 2 * pairs * (tokens + FRAME_TOKENS)
    a_block = read * model.width * wide * KEPT
    kept = a_block + read * model.width * wide * model.blocks if checkpointing else 0.0
    return WEIGHT_BYTES[dtype] * model.weights + (kept or a_block * model.blocks)


def memory_of_least(model: ModelSize, dtype: DType, tokens: int) -> float:
    """The least memory in which a finetune may run, in bytes."""
    return (step_memory(model, dtype, tokens, 1, checkpointing=True) + SPARE) / SHARE


def passes_of(
    model: ModelSize, dtype: DType, tokens: int, pairs: int, memory: float
) -> dict[str, Any]:
    """How a step's pairs go through the model: all at once where they fit; else blocks run again,
    and as many pairs at a time as fit; one where nothing does."""
    room = SHARE * memory - SPARE
    if step_memory(model, dtype, tokens, pairs, checkpointing=False) <= room:
        return {"checkpointing": False, "pairs_per_pass": 0}
    if step_memory(model, dtype, tokens, pairs, checkpointing=True) <= room:
        return {"checkpointing": True, "pairs_per_pass": 0}
    fitting = (
        n for n in range(pairs - 1, 0, -1) if step_memory(model, dtype, tokens, n, True) <= room
    )
    return {"checkpointing": True, "pairs_per_pass": next(fitting, 1)}


@dataclass(frozen=True)
class Plan:
    """A short run that fits: the cut of texts, how pairs are passed, steps of each variant, and
    about how many seconds that takes, of those at hand."""

    cut: Mapping[str, int]
    passes: Mapping[str, Any]
    steps: int
    seconds: float
    at_hand: float

    def lines(self, texts: TextSize, machine: Machine) -> list[str]:
        """What was decided and why, a line each."""
        return [
            f"texts: {texts.count}, cut to {self.cut['prompt_tokens']} tokens of a prompt and "
            f"{self.cut['response_tokens']} of a response",
            f"memory: {machine.memory / 1e9:.1f} GB free on {machine.device}; pairs_per_pass "
            f"{self.passes['pairs_per_pass']}, checkpointing "
            f"{'true' if self.passes['checkpointing'] else 'false'}",
            f"time: {self.steps} steps for each of {' and '.join(VARIANTS[1:])}, about "
            f"{math.ceil(self.seconds / 60)} minutes at this machine's speed"
            + (", more than is at hand" if self.seconds > self.at_hand else ""),
        ]


def planned(
    model: ModelSize, dtype: DType, texts: TextSize, machine: Machine, seconds: float
) -> Plan:
    """The run that fits the memory and the seconds at hand.

    Raises InputError where no finetune fits the memory.
    """
    cut = cut_of(texts, model, machine.device)
    tokens = cut["prompt_tokens"] + (cut["response_tokens"] if texts.response else 0)
    least = memory_of_least(model, dtype, tokens)
    if least > machine.memory:
        raise InputError(
            f"a finetune needs {least / 1e9:.1f} GB, and {machine.device} has "
            f"{machine.memory / 1e9:.1f} GB free; choose a smaller model or another device"
        )
    reading, a_step = seconds_of(model, machine, tokens, texts.count, PAIRS_PER_STEP)
    steps = min(max(int((seconds - reading) / 2 / a_step), FEWEST_STEPS), MOST_STEPS)
    passes = passes_of(model, dtype, tokens, PAIRS_PER_STEP, machine.memory)
    return Plan(cut, passes, steps, reading + 2 * a_step * steps, seconds)


def seconds_of(
    model: ModelSize, machine: Machine, tokens: int, texts: int, pairs: int
) -> tuple[float, float]:
    """About how long it takes to read every text once by every variant, and to take a step of
    every finetune. A token costs two operations a weight to read, as many again by the frozen
    model, and twice as many on the way back. What comes after takes as long as the finetunes."""
    a_text = 2 * model.weights * (tokens + FRAME_TOKENS) / machine.speed
    return len(VARIANTS) * texts * a_text, (len(VARIANTS) - 1) * 4 * 2 * pairs * a_text


def stored_bytes(texts: int, states: int, width: int, variants: int) -> float:
    """Of representations. states: of each text, one a layer and position, in float32."""
    return 4.0 * texts * states * width * variants
