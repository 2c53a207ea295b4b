"""Every published number and setting has a source, and presets set what was published."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from commands.table.published import ANY_MODEL, PUBLISHED, Published, published
from pipeline.core import presets
from pipeline.core.params import load_params

# Knobs that no preset sets as published, and why.
LEFT = {
    "variants.infonce.steps": "one process, and not four, takes a step",
    "generation.max_new_tokens": "1,024 tokens of every answer take days",
    "seed": "any other is as good",
}


def raw() -> dict[str, Any]:
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))


def test_every_number_is_there_once() -> None:
    paper = published()
    numbers = [n for m in paper.metrics for own in m.values.values() for n in own.values()]
    assert len(numbers) == 4 * 4 * 5 + 2
    for metric in paper.metrics:
        wanted = {ANY_MODEL} if ANY_MODEL in metric.values else set(paper.models)
        assert metric.values.keys() == wanted
        if wanted != {ANY_MODEL}:
            assert all(own.keys() == paper.methods.keys() for own in metric.values.values())


def test_numbers_by_hand() -> None:
    """One of every metric and model, read from the paper's table."""
    values = {metric.name: metric.values for metric in published().metrics}
    assert values["BT"]["Llama-3.1-8B"]["SEER"] == 95.5
    assert values["SB"]["Qwen2.5-7B"]["SFT"] == 68.8
    assert values["XST"]["Mistral-7B-v0.3"]["SFT + SEER"] == 24.8
    assert values["cap"]["Gemma2-9B"]["SEER NT-Xent"] == 66.6
    assert values["binary"][ANY_MODEL]["SEER"] == 84.6
    assert values["multi-risk"][ANY_MODEL]["SEER"] == 80.1


def unknown_source(tree: dict[str, Any], part: str) -> None:
    tree[part][0]["source"] = "hearsay"


def no_source(tree: dict[str, Any], part: str) -> None:
    del tree[part][0]["source"]


@pytest.mark.parametrize("part", ["metrics", "settings", "asides"])
@pytest.mark.parametrize("spoil", [unknown_source, no_source])
def test_nothing_stands_without_a_source(
    part: str, spoil: Callable[[dict[str, Any], str], None]
) -> None:
    tree = raw()
    Published.model_validate(tree)
    spoil(tree, part)
    with pytest.raises(ValidationError, match="source"):
        Published.model_validate(tree)


def test_a_number_of_an_unlisted_model_or_method_is_refused() -> None:
    for model, method in (("GPT-2", "SEER"), ("Llama-3.1-8B", "prayer")):
        tree = raw()
        tree["metrics"][0]["values"].setdefault(model, {})[method] = 1.0
        with pytest.raises(ValidationError, match=r"GPT-2|prayer"):
            Published.model_validate(tree)


def test_models_are_those_of_the_presets_and_methods_are_variants(home: Path) -> None:
    paper, found = published(), set()
    for path in Path("presets").glob("*.yaml"):
        model = YAML(typ="safe").load(path).get("model", {})
        found.add(model.get("hub", {}).get("repo"))
    assert set(paper.models.values()) <= found
    assert set(paper.methods.values()) <= load_params().variants.keys()


def test_presets_set_what_was_published(home: Path) -> None:
    presets.apply(["llama-3.1-8b", "paper-binary"])
    tree = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    for setting in published().settings:
        here: Any = tree
        for part in setting.knob.split("."):
            here = here[part]
        assert (here == setting.value) == (setting.knob not in LEFT), setting.knob


def test_every_title_names_what_can_be_looked_up() -> None:
    for source in published().sources.values():
        assert re.search(r"2502\.05242|24ced57", source.title)
