"""A finished run: the committed metrics and params, over a model that is very narrow."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from pipeline.core.files import read_json, write_json
from pipeline.core.params import Params, load_params
from pipeline.core.paths import (
    ADAPTERS,
    BASE_CARD,
    BASE_MODEL,
    EXAMPLES,
    MANIFEST,
    MONITORS,
    REPRESENTATIONS,
    SHIFTED,
)
from pipeline.core.records import Example, write_records
from pipeline.core.representations import RepresentationsFile
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder
from pipeline.models.loading import save_trained
from pipeline.models.lora import save_adapter, with_lora
from pipeline.monitors.saved import SavedMonitor, save_monitor
from tests.hub.conftest import bench  # noqa: F401 - a Hub on loopback
from tests.support.dag import ROOT
from tests.support.tiny import move, write_params

VARIANT = "true_negatives"
NARROW = {"vocabulary": 400, "width": 16, "feed_forward": 32, "heads": 2}
Origin = Callable[..., None]


@pytest.fixture
def finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Encoder, examples: list[Example]
) -> Params:
    """The working directory is a finished run; its params."""
    apart = [replace(e, id=f"{e.id}-s", split="shifted") for e in examples if e.split == "novel"]
    examples = [*examples, *apart]
    home = tmp_path / "run"
    home.mkdir()
    monkeypatch.chdir(home)
    shutil.copytree(ROOT / "metrics", home / "metrics")
    tree = YAML().load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["model"]["embedded"] |= NARROW
    write_params(home / "params.yaml", tree)
    params = load_params()
    torch.manual_seed(0)
    model = new_model(params.model.embedded, encoder.tokenizer).eval()
    save_trained(BASE_MODEL, model, encoder.tokenizer, params.model)
    save_adapter(ADAPTERS / VARIANT, move(with_lora(model, params.finetune)))
    write_texts(examples)
    write_states(params, examples)
    for position in ("mean", "prompt_end"):
        save_monitor(MONITORS / VARIANT, position, monitor_at(position, params))
    return params


@pytest.fixture
def from_hub(finished: Params) -> None:
    """The base model is one of the Hub, by its card."""
    card = read_json(BASE_CARD)
    write_json(BASE_CARD, card | {"source": "hub", "origin": "acme/tiny", "revision": "a" * 40})


def write_texts(examples: list[Example]) -> None:
    write_records(EXAMPLES, [e for e in examples if e.split != "shifted"])
    write_records(SHIFTED, [e for e in examples if e.split == "shifted"])
    rows: dict[str, dict[str, int]] = {}
    for example in examples:
        counts = rows.setdefault(example.concept, {})
        counts[example.split] = counts.get(example.split, 0) + 1
    sources = {"train.jsonl": {"repo": "acme/texts", "revision": "b" * 40, "licence": "CC0"}}
    write_json(
        MANIFEST,
        {"rows": rows, "safe": ["safe"], "licence": "generated here", "sources": sources},
    )


def write_states(params: Params, examples: list[Example]) -> None:
    """States of noise; those of `fraud` lie 10 further along the first dimension."""
    layers, positions = params.extraction.layers, params.extraction.positions
    ids, concepts, splits = zip(*((e.id, e.concept, e.split) for e in examples), strict=True)
    shape = (len(layers), len(positions), len(ids), NARROW["width"])
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values[:, :, np.array(concepts) == "fraud", 0] += 10
    space = RepresentationsFile(
        REPRESENTATIONS / f"{VARIANT}.safetensors", layers, positions, ids, concepts, splits,
        NARROW["width"],
    )  # fmt: skip
    space.make()
    space.put(range(len(ids)), values)


def monitor_at(position: str, params: Params) -> SavedMonitor:
    rng, width = np.random.default_rng(1), NARROW["width"]
    return SavedMonitor(
        "logistic", VARIANT, ("harmful", "safe"), ("safe",), params.reading.layer, position, 0.5,
        {"dtype": "float32"}, rng.normal(size=width), rng.normal(size=(2, width)),
        rng.normal(size=2), rng.normal(size=width).astype(np.float32),
    )  # fmt: skip
