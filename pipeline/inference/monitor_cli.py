"""Score prompts, or answers token by token, with a saved monitor: `legible-monitor`.

    legible-monitor models/monitors/true_negatives/prompt_end.json prompts.txt
    legible-monitor models/monitors/true_negatives/mean.json --generate 20 < prompts.txt

Prompts come one a line, from a file or from standard input. Prints tab-separated lines: of every
prompt, or of every token of its answer, the label, the score, the threshold and the layer.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.utils import logging

from pipeline.core.console import InputError, run
from pipeline.core.paths import ADAPTERS, BASE_CARD, BASE_MODEL
from pipeline.core.sections import Text
from pipeline.core.text_identity import is_blank
from pipeline.inference.fingerprint import check_model
from pipeline.inference.live_monitor import Judgement, judge_prompts, watching
from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.external_base import load_folder
from pipeline.models.finite import FiniteLogits
from pipeline.models.generating import generate
from pipeline.models.hooks import config_of
from pipeline.models.loading import load_variant
from pipeline.monitors.saved import SavedMonitor, load_monitor

SEED = 0  # of sampled answers
COLUMNS = ("prompt", "token", "label", "score", "threshold", "layer")


def main() -> None:
    options = _options()
    monitor, prompts = load_monitor(options.monitor), read_prompts(options.prompts)
    model, encoder = load_monitored_model(options.model, monitor)
    check_lengths(model, encoder, prompts, options.generate)
    print("\t".join(COLUMNS))
    for row in table_rows(model, encoder, monitor, prompts, options.generate):
        print("\t".join(row), flush=True)


def command() -> None:
    """The console script: an InputError is one line, as for a stage."""
    run(main)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("monitor", type=Path, help="models/monitors/VARIANT/POSITION.json")
    parser.add_argument("prompts", type=Path, nargs="?", help="one a line; default: stdin")
    parser.add_argument(
        "--model",
        type=Path,
        help="a folder that save_pretrained wrote; default: models/base and the variant's adapter",
    )
    parser.add_argument(
        "--generate",
        type=int,
        default=0,
        metavar="TOKENS",
        help="answer every prompt with at most so many tokens, and score each of them",
    )
    options = parser.parse_args()
    if options.generate < 0:
        raise InputError(f"--generate {options.generate}: give a number of tokens, 1 or more")
    return options


def read_prompts(path: Path | None) -> list[str]:
    """The lines that are not blank, of a file or of standard input. Raises InputError where there
    is none, and for what is no text."""
    try:
        text = path.read_text(encoding="utf-8-sig") if path else sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path or 'standard input'} cannot be read as text: {error}") from None
    prompts = [line.strip() for line in text.split("\n") if not is_blank(line)]
    if not prompts:
        raise InputError(f"{path or 'standard input'} holds no prompt; write one a line")
    return prompts


def load_monitored_model(
    folder: Path | None, monitor: SavedMonitor
) -> tuple[PreTrainedModel, Encoder]:
    """The model that a monitor was fitted on, and its encoder, from a folder, or (None) the
    project's base model with the variant's adapter.

    Raises InputError for a model that is missing, cannot be read, or is another (check_model).
    """
    logging.disable_progress_bar()
    adapter = ADAPTERS / monitor.variant
    needed = [folder / "config.json"] if folder else [BASE_CARD, adapter / "adapter_config.json"]
    for path in needed:
        if not path.is_file():
            raise InputError(f"{path} is missing; run dvc repro, or give --model another folder")
    if folder:
        model, tokenizer = load_folder(folder)
    else:
        model, tokenizer = load_variant(BASE_MODEL, adapter, torch.device("cpu"))
    check_model(model, monitor)
    # No prompt is cut: a monitor cannot judge what it does not read.
    context = config_of(model).max_position_embeddings
    return model, Encoder(tokenizer, Text(prompt_tokens=context, response_tokens=context))


def check_lengths(model: Any, encoder: Encoder, prompts: Sequence[str], tokens: int) -> None:
    """Raises InputError for a prompt that, with its answer, is longer than the model reads."""
    context = config_of(model).max_position_embeddings
    for number, text in enumerate(encoder.texts([(prompt, "") for prompt in prompts]), 1):
        if len(text.ids) + tokens > context:
            raise InputError(
                f"prompt {number} has {len(text.ids)} tokens, more than the model's context "
                f"{context} leaves room for; shorten it"
            )


def table_rows(
    model: Any, encoder: Encoder, monitor: SavedMonitor, prompts: Sequence[str], tokens: int
) -> Iterator[tuple[str, ...]]:
    """The printed cells (COLUMNS) of every prompt or, where `tokens` is above 0, of each token of
    its answer."""
    if not tokens:
        judged = judge_prompts(model, encoder, monitor, prompts)
        for prompt, judgement in zip(prompts, judged, strict=True):
            yield (_plain(prompt), "", *_cells(judgement))
        return
    for prompt in prompts:
        answer, judgements = sample_answer(model, encoder, monitor, prompt, tokens)
        for token, judgement in zip(["", *answer], judgements, strict=False):
            yield (_plain(prompt), _plain(token), *_cells(judgement))


def sample_answer(
    model: Any, encoder: Encoder, monitor: SavedMonitor, prompt: str, tokens: int
) -> tuple[list[str], list[Judgement]]:
    """The tokens of a sampled answer, at most `tokens`, and the monitor's judgements at the
    prompt's end and after each token but the last, which no forward pass reads.

    Sampled from the model's full distribution with a fixed seed, as the pipeline's completions are.
    """
    torch.manual_seed(SEED)
    config = GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=tokens,
        pad_token_id=encoder.tokenizer.pad_token_id,
        eos_token_id=ends_of(model, encoder.tokenizer, encoder.end),
    )
    ids = torch.tensor([encoder(prompt, "").ids], device=model.device)
    with watching(model, monitor, check=False) as live:
        finite = FiniteLogits([f"prompt {_plain(prompt)!r}"])
        mask = torch.ones_like(ids)
        output = generate(model, ids, config, attention_mask=mask, logits_processor=[finite])
    return [encoder.decode([token]) for token in output[0, ids.shape[1] :]], live.judgements()


def _cells(judgement: Judgement) -> tuple[str, ...]:
    threshold = "" if judgement.threshold is None else f"{judgement.threshold:.4f}"
    return judgement.label, f"{judgement.score:.4f}", threshold, str(judgement.layer)


def _plain(text: str) -> str:
    """The text with a space for each character that would break a line or a cell."""
    return "".join(c if c.isprintable() else " " for c in text)


if __name__ == "__main__":
    run(main)
