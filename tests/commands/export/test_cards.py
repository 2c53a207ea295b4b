"""A card is read by a stranger: it says all, by the run's own numbers, and hides no limit."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands.export.cards import adapter_card, direction_card, monitor_card
from commands.export.run_files import read_run
from pipeline.core.files import read_json, write_json
from pipeline.core.params import Params
from pipeline.core.paths import BASE_CARD, METRICS
from pipeline.reporting.glossary import MEANINGS
from tests.commands.export.conftest import VARIANT

ABOUT = {"concept": "fraud", "against": "all other", "layer": 3, "position": "last", "texts": 48,
         "length": 2.5, "gguf": True}  # fmt: skip
AUROC = {"test": {"value": 0.75, "low": 0.5, "high": 0.9}}
KINDS = {
    "adapter": lambda run: adapter_card(run, merged=False),
    "merged": lambda run: adapter_card(run, merged=True),
    "monitors": lambda run: monitor_card(run, ["mean", "prompt_end"]),
    "direction": lambda run: direction_card(run, ABOUT, AUROC),
}


def parted(card: str) -> tuple[Any, str]:
    """A card's front matter, and its body."""
    _, front, body = card.split("---\n", 2)
    return YAML(typ="safe").load(front), body


@pytest.mark.parametrize("kind", KINDS)
def test_every_card_says_what_how_whereof_how_well_and_where_it_fails(
    kind: str, finished: Params
) -> None:
    front, body = parted(KINDS[kind](read_run(VARIANT)))
    headings = re.findall(r"^## (.*)$", body, re.M)
    assert headings[0].startswith("What ")
    assert headings[1].startswith("How to ")
    assert [
        name for name in headings[-3:-1] if not name.startswith(("Texts and", "How well"))
    ] == []
    assert headings[-1] == "Limits"
    assert front["license"] == "mit"
    for said in ("generated here", "acme/texts", "b" * 40, "CC0", "fraud", "no safety measure"):
        assert said in body
    assert read_json(BASE_CARD)["files"]["model.safetensors"]["sha256"] in body
    assert not re.search(r"\bNone\b(?! of the)|\bnan\b", body)


@pytest.mark.parametrize("kind", KINDS)
def test_of_others_models_their_licences_decide(kind: str, from_hub: None) -> None:
    front, body = parted(KINDS[kind](read_run(VARIANT)))
    assert front["license"] == "other"
    assert "acme/tiny@aaaaaaaaaaaa" in body
    if kind in ("adapter", "merged"):
        assert front["base_model"] == "acme/tiny"
    assert "trained from scratch" not in body


def test_numbers_are_the_committed_ones_with_their_intervals(finished: Params) -> None:
    card = adapter_card(read_run(VARIANT), merged=False)
    summary = read_json(METRICS / "summary.json")
    rows = dict(re.findall(r"^\| ([^|:]+): [^|]+ \| (.*) \|$", card, re.M))
    named = {MEANINGS[name].label: value for name, value in summary[VARIANT].items()}
    assert rows.keys() == named.keys()
    for label, value in named.items():
        _, after, *_ = rows[label].split(" | ")
        assert after.startswith(f"{value:.3f} ["), label


def test_monitors_are_told_as_they_were_measured_at_their_own_positions(finished: Params) -> None:
    measured = read_json(METRICS / "monitors" / f"{VARIANT}.json")
    card = monitor_card(read_run(VARIANT), ["mean", "prompt_end"])
    for row, own in {
        "requests": measured["shift"]["logistic"]["plain_test"]["auroc"],
        "prompts of held-out texts": measured["shift"]["logistic"]["examples_test"]["auroc"],
        "running answers": measured["streaming"]["mean"]["auroc"],
    }.items():
        assert f"| {row} | {own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}]" in card


def test_a_control_and_the_untouched_model_say_what_they_are(finished: Params) -> None:
    assert "It is a control" in adapter_card(read_run("shuffled"), merged=False)
    assert "It is a control" not in adapter_card(read_run(VARIANT), merged=False)
    assert "changes nothing" in adapter_card(read_run("base"), merged=False)
    assert "without any contrast" in adapter_card(read_run("sft"), merged=False)


def test_a_corpus_without_harm_has_its_card(finished: Params) -> None:
    path = METRICS / "monitors" / f"{VARIANT}.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k not in ("harm", "shift")})
    card = monitor_card(read_run(VARIANT), ["mean"])
    assert "which concept the text has" in card
    assert "| texts | auroc | accuracy |" in card


def test_a_direction_without_a_file_for_llama_cpp_says_so(finished: Params) -> None:
    without = direction_card(read_run(VARIANT), ABOUT | {"gguf": False}, AUROC)
    assert "There is no file for llama.cpp" in without
    assert "direction.gguf" not in without
    assert "control-vector-scaled direction.gguf" in direction_card(read_run(VARIANT), ABOUT, AUROC)
    assert "| held-out texts | 0.750 [0.500, 0.900] |" in without


def test_no_card_names_a_folder_of_this_machine(finished: Params, tmp_path: Path) -> None:
    assert not [kind for kind, made in KINDS.items() if str(tmp_path) in made(read_run(VARIANT))]
