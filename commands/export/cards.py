"""Cards: what a thing is, how it was made, of which texts, how well it does, where it fails.

Written for a stranger who has the card alone. Every number is one of the run's committed metrics,
with its 95 % interval; no date and no path of a machine stands in it, so that the same run gives
the same bytes.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from commands.export.card_parts import (
    GROUPS,
    about_finetune,
    fenced,
    how_to_load,
    how_trained,
    how_well,
    how_well_monitored,
    licence_of,
    limits_of,
    of_which_texts,
    question_of,
    texts_of,
)
from commands.export.run_files import RunFiles
from pipeline.reporting.markdown import drawn, said

CARD = "README.md"  # where a Hub looks for it
TAGS = ["interpretability", "contrastive", "representation-engineering"]
OF_ADAPTERS = (
    "In bfloat16, keep the adapter beside the weights: merged into them, most of its small change "
    "is rounded away.",
)
OF_MONITORS = (
    "A monitor works with this very model alone, and `legible-monitor` refuses any other.",
    "It finds what is like its training texts. A text can be worded so that it stays silent: an "
    "alarm is a reason to look, silence is no proof of safety.",
    "Its threshold was chosen on validation texts. Texts that are worded otherwise raise more or "
    "fewer alarms than the table says.",
)
OF_DIRECTIONS = (
    "A direction that tells texts apart need not be what the model acts on. Measure what a model "
    "says when it is moved, beside a random direction of the same length.",
    "Far along it lie states that the model never had, and its words fall apart.",
)


def adapter_card(run: RunFiles, *, merged: bool) -> str:
    """The card of a variant's adapter, or of the whole model with it merged."""
    hub = {"base_model": run.base["origin"]} if run.base["source"] == "hub" else {}
    return _card(
        {
            "license": licence_of(run),
            **hub,
            "library_name": "transformers" if merged else "peft",
            "pipeline_tag": "text-generation",
            "tags": TAGS if merged else [*TAGS, "lora"],
        },
        f"{run.variant}: {run.base_name}, {'adapter merged' if merged else 'LoRA adapter'}",
        {
            "What it is": about_finetune(run),
            "How to load it": how_to_load(run, merged=merged),
            "How it was made": how_trained(run),
            "Texts and licences": of_which_texts(run),
            "How well it does": how_well(run),
            "Limits": limits_of(run, () if merged else OF_ADAPTERS),
        },
    )


def monitor_card(run: RunFiles, positions: Sequence[str]) -> str:
    """The card of the monitors that a variant's run has saved, one for each position."""
    asked = {"harm": "whether the text is harmful", "concept": "which concept the text has"}
    return _card(
        {
            "license": licence_of(run),
            "library_name": "safetensors",
            "tags": ["monitor", "probe", "safety"],
        },
        f"{run.variant}: monitors of {run.base_name}",
        {
            "What they are": "Linear classifiers (logistic regression) of a hidden state at layer "
            f"{run.params.reading.layer}, by Hugging Face's count. They tell "
            f"{asked[question_of(run)]}, and were fitted on {texts_of(run, 'train')} labelled "
            f"texts; one for each position: {', '.join(f'`{name}`' for name in positions)}. "
            "`NAME.json` says what a monitor is, with its threshold and the digests of its model; "
            "`NAME.safetensors` holds its numbers. No code is in them.",
            "How to use them": fenced(
                "sh", f"legible-monitor {positions[0]}.json prompts.txt --model FOLDER"
            )
            + "FOLDER holds the model that they were fitted on: `legible-export merged "
            f"{run.variant} FOLDER` writes it.",
            "Texts and licences": of_which_texts(run),
            "How well they do": how_well_monitored(run),
            "Limits": limits_of(run, OF_MONITORS),
        },
    )


def direction_card(run: RunFiles, about: Mapping[str, Any], auroc: Mapping[str, Any]) -> str:
    """The card of a concept's direction. about: what is written into its file; auroc: how well the
    states' projections on it rank the concept's texts above all others, by split."""
    block = about["layer"] - 1
    for_llama_cpp = (
        f"`direction.gguf` is the same for llama.cpp, which adds it to the output of block {block}:"
        "\n\n"
        + fenced(
            "sh", "llama-cli --model MODEL.gguf --control-vector-scaled direction.gguf:1.0 ..."
        )
        if about["gguf"]
        else f"There is no file for llama.cpp, which cannot add a vector at layer {about['layer']}."
    )
    return _card(
        {
            "license": licence_of(run),
            "library_name": "safetensors",
            "tags": ["steering-vector", "control-vector"],
        },
        f"{run.variant}: direction of {about['concept']} in {run.base_name}",
        {
            "What it is": f"The mean hidden state of `{about['concept']}` texts minus that of "
            f"{about['against']} texts, at layer {about['layer']} (Hugging Face's count), position "
            f"`{about['position']}`, over {about['texts']} training texts. Its length is how far "
            f"the two means are apart, {about['length']:.4g}: added once to a state of that layer, "
            "it carries one mean to the other.",
            "How to use it": fenced(
                "python",
                "from safetensors.numpy import load_file\n\n"
                f"# [D], to be added to the output of block {block}; blocks count from 0\n"
                'direction = load_file("direction.safetensors")["direction"]',
            )
            + for_llama_cpp,
            "Texts and licences": of_which_texts(run),
            "How well it does": "How well projections of hidden states on it rank the concept's "
            "texts above all others. AUROC, with its 95 % interval over texts; 0.5 is chance.\n\n"
            + drawn(
                ["texts", "AUROC"],
                [[GROUPS[split], said(estimate, band=False)] for split, estimate in auroc.items()],
            ),
            "Limits": limits_of(run, OF_DIRECTIONS),
        },
    )


def _card(matter: Mapping[str, Any], title: str, parts: Mapping[str, str]) -> str:
    front = io.StringIO()
    yaml = YAML()
    yaml.width = 300
    yaml.dump(dict(matter), front)
    body = "\n\n".join(f"## {name}\n\n{text.strip()}" for name, text in parts.items())
    return f"---\n{front.getvalue()}---\n\n# {title}\n\n{body}\n"
