"""params.yaml, read and checked: a mistake is refused before any stage starts its work.

Mistakes are unknown keys, wrong types, and what several sections together make impossible: a layer
beyond the model, too few pairs, a variant that is not there. Longer than other modules, as all that
several sections tell together stands here.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.console import InputError, nearest
from pipeline.core.sections import (
    Asking,
    Attacks,
    Capability,
    Control,
    Corpora,
    Extraction,
    Figures,
    Finetune,
    FurtherTraining,
    Generation,
    Judging,
    Listed,
    Model,
    Name,
    Pairs,
    Pretraining,
    Reading,
    Runtime,
    Section,
    Seed,
    Selfie,
    Streams,
    Text,
    Transport,
    Variant,
)


class Params(Section):
    seed: Seed
    seeds: Annotated[Listed[Seed], Field(min_length=5)]
    text: Text
    corpora: Corpora
    model: Model
    pretraining: Pretraining
    pairs: Pairs
    finetune: Finetune
    variants: dict[Name, Variant]
    extraction: Extraction
    reading: Reading
    transport: Transport
    generation: Generation
    judging: Judging
    capability: Capability
    streams: Streams
    further_training: FurtherTraining
    attacks: Attacks
    asking: Asking
    selfie: Selfie
    control: Control
    figures: Figures
    runtime: Runtime

    @model_validator(mode="after")
    def fits_together(self) -> "Params":
        for problem in _misfits(self):
            raise ValueError(problem)
        return self


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml (YAML 1.2, as DVC writes it).

    Raises InputError in one line: the first problem's key, what is wrong and what is allowed.
    """
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; run from the project's root") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except YAMLError as error:
        raise InputError(
            f"{path} is not valid YAML: {str(error).splitlines()[-1].strip()}"
        ) from None
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no sections; restore it from the repository")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from None


def find_variant(variants: dict[str, Variant], name: str) -> Variant:
    """The row called `name`; InputError naming the known rows where there is none."""
    if name not in variants:
        raise InputError(f"params.yaml: no variant {name!r}; known: {', '.join(variants)}")
    return variants[name]


def base_first(variants: Iterable[str]) -> list[str]:
    """The variants' names, `base` first: the others are compared with it."""
    return ["base", *(name for name in variants if name != "base")]


def misfits_of(params: Params, layers: int, context: int, frame: int) -> list[str]:
    """Params that exceed a model's layers or its context, one line each.

    layers: the model's number of blocks. context: the most tokens that it reads. frame: the most
    tokens that its chat template puts around a message and an answer.
    """
    deepest = {
        "finetune.target_layers": params.finetune.top_layer,
        "extraction.layers": max(params.extraction.layers, default=0),
        "reading.layer": params.reading.layer,
        "asking.layer": params.asking.layer,
        "selfie.layers": max(params.selfie.layers, default=0),
    }
    problems = [
        f"{key} is {layer}, beyond the model's last layer {layers}; lower it"
        for key, layer in deepest.items()
        if layer > layers
    ]
    if params.asking.inject_layer >= layers:
        problems.append(
            f"asking.inject_layer is {params.asking.inject_layer}; the last block that can be "
            f"entered is {layers - 1}"
        )
    problems += [
        f"control.edits.{name}.layer is {row.layer}; MLPs are edited at layers 1 to {layers - 1}"
        for name, row in params.control.edits.items()
        if row.layer >= layers
    ]
    text, asking = params.text, params.asking
    # A token has at least one byte.
    asked = len(f"{asking.question}{asking.answer}".encode()) + asking.placeholders
    texts = text.prompt_tokens + text.response_tokens
    lengths = {
        "text.prompt_tokens + text.response_tokens": texts,
        "text.prompt_tokens + generation.max_new_tokens": text.prompt_tokens
        + params.generation.max_new_tokens,
        "asking.placeholders + the question's bytes + selfie.max_new_tokens": asked
        + params.selfie.max_new_tokens,
        "a text's tokens + the question's bytes + selfie.max_new_tokens": texts
        + len(asking.question.encode())
        + params.selfie.max_new_tokens,
    }
    instruction = max([len(r.instruction.encode()) for r in params.control.edits.values()] or [0])
    if instruction:
        answered = max(text.response_tokens, params.generation.max_new_tokens)
        lengths["text.prompt_tokens + an answer's tokens + an instruction's bytes"] = (
            text.prompt_tokens + answered + instruction
        )
    if params.selfie.judge == "base":
        closed = len(f"{asking.question}{asking.answer}".encode())
        lengths["a text's tokens + the question's and the answer's bytes"] = texts + closed
    problems += [
        f"{what} + {frame} for the frame is {length + frame}, more than the model's context "
        f"{context}"
        for what, length in lengths.items()
        if length + frame > context
    ]
    return problems


def _misfits(params: Params) -> list[str]:
    """What no single section can see: layers beyond the model, too few pairs, unknown variants.

    The base_model stage checks a model of the Hub or of a folder, whose layers are unknown here."""
    embedded, reading, asking = params.model.embedded, params.reading, params.asking
    problems: list[str] = []
    if params.model.source == "embedded":
        problems = misfits_of(params, embedded.layers, embedded.context, frame=8)
    lists = {
        "extraction.layers": params.extraction.layers,
        "extraction.positions": params.extraction.positions,
        "finetune.positions": params.finetune.positions,
        "asking.positions": params.asking.positions,
        "figures.compared": params.figures.compared,
        "finetune.penalty_texts": params.finetune.penalty_texts,
        "selfie.moves": params.selfie.moves,
        "attacks.monitors": params.attacks.monitors,
        "seeds": params.seeds,
    }
    problems += [
        f"{key} must name at least one, none twice"
        for key, values in lists.items()
        if not values or len(set(values)) < len(values)
    ]
    may_be_empty = {
        "selfie.layers": params.selfie.layers,
        "corpora.hub.shifted": params.corpora.hub.shifted,
        "corpora.prompts.sets": params.corpora.prompts.sets,
        "capability.harness": params.capability.harness,
    }
    problems += [
        f"{key} must name none twice"
        for key, values in may_be_empty.items()
        if len(set(values)) < len(values)
    ]
    if reading.layer not in params.extraction.layers:
        problems.append(f"reading.layer {reading.layer} is not among extraction.layers")
    if reading.position not in params.extraction.positions:
        problems.append(f"reading.position {reading.position} is not among extraction.positions")
    if asking.layer not in params.extraction.layers:
        problems.append(f"asking.layer {asking.layer} is not among extraction.layers")
    problems += [
        f"asking.positions: {position} is not among extraction.positions"
        for position in asking.positions
        if position not in params.extraction.positions
    ]
    if "base" not in params.variants or params.variants["base"].steps != 0:
        problems.append("variants must hold `base` with 0 steps: every result is read beside it")
    problems += [
        f"variants.{name} takes {row.steps * params.finetune.pairs_per_step} pairs, but "
        f"pairs.count is {params.pairs.count}; raise it"
        for name, row in params.variants.items()
        if row.steps * params.finetune.pairs_per_step > params.pairs.count
    ]
    problems += [
        f"finetune.{key} is {number}, which runtime.processes {params.runtime.processes} does not "
        "divide"
        for key, number in (
            ("pairs_per_step", params.finetune.pairs_per_step),
            ("retain_per_step", params.finetune.retain_per_step),
        )
        if number % params.runtime.processes
    ]
    if params.runtime.sharded and params.model.dtype == "nf4":
        problems.append(
            "runtime.sharded keeps weights in parts, which those of model.dtype nf4 cannot be; set "
            "sharded: false, or bfloat16"
        )
    if params.generation.engine == "vllm" and params.model.dtype != "bfloat16":
        problems.append(
            f"generation.engine is vllm, which reads adapters in half precision alone, and "
            f"model.dtype is {params.model.dtype}; set bfloat16, or engine: transformers"
        )
    if params.further_training.steps and params.model.dtype == "nf4":
        problems.append(
            "further_training merges a variant into weights, which those of model.dtype nf4 are "
            "too coarse for; set further_training.steps: 0, or bfloat16"
        )
    problems += [
        f"control.edits.{name} is rewarded for interpretations, and asking reads layer "
        f"{params.asking.layer} at {' or '.join(params.asking.positions)}; edit there"
        for name, row in params.control.edits.items()
        if row.reward != "none"
        and (row.layer != params.asking.layer or row.position not in params.asking.positions)
    ]
    if params.attacks.suffix_tokens >= params.text.prompt_tokens:
        problems.append(
            f"attacks.suffix_tokens is {params.attacks.suffix_tokens}, and a prompt is cut to "
            f"text.prompt_tokens {params.text.prompt_tokens}; lower it"
        )
    if params.control.model not in params.variants:
        problems.append(
            f"control.model is {params.control.model}, which is no variant; known: "
            f"{', '.join(params.variants)}"
        )
    if "untouched" in params.control.edits:
        problems.append("control.edits: `untouched` is the model before any edit; rename the edit")
    problems += [
        f"figures.compared names {name}, which is no variant; known: {', '.join(params.variants)}"
        for name in params.figures.compared
        if name not in params.variants
    ]
    return problems


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    match problem["type"]:
        case "extra_forbidden":
            known = _fields_at(problem["loc"])
            return f"{key}: unknown key{nearest(str(problem['loc'][-1]), known)}"
        case "missing":
            return f"{key}: missing; every knob must be set"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}" if key else str(problem["ctx"]["error"])
    return f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem['input']!r}"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the section that holds a key."""
    section: Any = Params
    for part in location[:-1]:
        table = get_origin(section) is dict
        section = get_args(section)[1] if table else section.model_fields[part].annotation
    return list(section.model_fields)
