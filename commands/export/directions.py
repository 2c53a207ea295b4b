"""A concept's direction in the hidden states: for libraries that steer a model with it.

Two files: `direction.safetensors` for whoever adds it in Python, and `direction.gguf`, a control
vector as llama.cpp reads it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray
from safetensors.numpy import save_file

from commands.export.cards import CARD, direction_card
from commands.export.run_files import RunFiles, needed, read_run
from pipeline.core.console import InputError, nearest
from pipeline.core.files import read_json, whole
from pipeline.core.paths import BASE_MODEL, EXAMPLES, REPRESENTATIONS, SHIFTED
from pipeline.core.records import Example, read_records
from pipeline.core.representations import Representations, load_representations
from pipeline.evaluation.bootstrap import draw_prompts
from pipeline.monitors.metrics import ranking_measures

ALL_OTHERS = "all other"
NAME = "direction"


@dataclass(frozen=True)
class Direction:
    """The mean state [D] of a concept's training texts minus that of `against`: another concept, or
    all others, each of which counts the same. layer: Hugging Face's count. texts: how many it is
    of."""

    concept: str
    against: str
    layer: int
    position: str
    texts: int
    values: NDArray[np.float32]

    @property
    def length(self) -> float:
        return float(np.linalg.norm(self.values))


def export_direction(
    variant: str, concept: str, against: str, layer: int | None, position: str, folder: Path
) -> None:
    """Write a concept's direction, for llama.cpp too where it can be added there, and its card.

    against: another concept, or "" for all others. layer, position: None and "" for those of
    `reading`. Raises InputError for what the run has not read.
    """
    run = read_run(variant)
    path = REPRESENTATIONS / f"{variant}.safetensors"
    needed(path, EXAMPLES, SHIFTED)
    stored, reading = load_representations(path), run.params.reading
    found = direction_of(
        stored,
        concept,
        against,
        reading.layer if layer is None else layer,
        position or reading.position,
    )
    blocks = run.base["layers"]
    about = {name: value for name, value in vars(found).items() if name != "values"}
    about |= {"length": found.length, "gguf": is_for_llama_cpp(found.layer, blocks)}
    with whole(folder) as draft:
        draft.mkdir()
        metadata = {NAME: json.dumps(about, sort_keys=True)}  # one key: the same bytes every time
        save_file({NAME: found.values}, draft / f"{NAME}.safetensors", metadata)
        if about["gguf"]:
            write_control_vector(draft / f"{NAME}.gguf", found, _architecture())
        card = direction_card(run, about, ranked(stored, found, run))
        (draft / CARD).write_text(card, encoding="utf-8")


def direction_of(
    stored: Representations, concept: str, against: str, layer: int, position: str
) -> Direction:
    """Raises InputError for a concept, a layer or a position that the states do not have."""
    known = sorted({c for c, s in zip(stored.concepts, stored.splits, strict=True) if s == "train"})
    for name in filter(None, (concept, against)):
        if name not in known:
            raise InputError(f"no training text has the concept {name!r}{nearest(name, known)}")
    if layer not in stored.layers or position not in stored.positions:
        raise InputError(
            f"the run has not read layer {layer} at {position!r}; it has layers "
            f"{', '.join(map(str, stored.layers))} at {', '.join(stored.positions)}: name one, or "
            "set extraction"
        )
    others = [against] if against else [name for name in known if name != concept]
    if not others or concept in others:
        raise InputError(f"{concept!r} has nothing to be told from; name another concept")
    states, labels = stored.at(layer, position, "train")
    means = {name: states[labels == name].mean(0) for name in (concept, *others)}
    values = means[concept] - np.mean([means[name] for name in others], axis=0)
    texts = int(np.isin(labels, [concept, *others]).sum())
    return Direction(
        concept, against or ALL_OTHERS, layer, position, texts, values.astype(np.float32)
    )


def ranked(stored: Representations, found: Direction, run: RunFiles) -> dict[str, Any]:
    """How well projections on a direction rank the concept's texts above all others: AUROC with its
    interval, by split; nothing of a split that has texts of one kind alone."""
    prompts = {e.id: e.prompt for path in (EXAMPLES, SHIFTED) for e in read_records(path, Example)}
    rows: dict[str, Any] = {}
    for split in ("test", "novel", "shifted"):
        states, labels = stored.at(found.layer, found.position, split)
        truth = labels == found.concept
        if truth.any() and not truth.all():
            drawn = draw_prompts(
                (prompts[name] for name in stored.ids_of(split)),
                run.params.reading.resamples,
                run.params.seed,
            )
            measures = ranking_measures([(truth, states @ found.values)], drawn)
            rows[split] = measures["auroc"].estimate().as_tree()
    return rows


def is_for_llama_cpp(layer: int, blocks: int) -> bool:
    """Whether llama.cpp can add a vector where a layer is read. It does so at the output of every
    block but the first; the last layer is read after the final norm, which no output is."""
    return 2 <= layer < blocks


def write_control_vector(path: Path, found: Direction, architecture: str) -> None:
    """A control vector as llama.cpp's `common_control_vector_load` reads it: tensor `direction.l`,
    float32 [D], is added to the output of block l, whose blocks count from 0. Layer l is the output
    of block l - 1. architecture: of the model, as its configuration calls it."""
    writer = GGUFWriter(str(path), "controlvector")
    writer.add_string("controlvector.model_hint", architecture)
    writer.add_uint32("controlvector.layer_count", 1)
    writer.add_tensor(f"direction.{found.layer - 1}", found.values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _architecture() -> str:
    config: Mapping[str, Any] = read_json(BASE_MODEL / "config.json")
    return str(config["model_type"])
