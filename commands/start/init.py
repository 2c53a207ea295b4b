"""params.yaml for a model, texts and this machine: `legible-init`.

    legible-init my/texts --model smollm2-135m-package --label topic --safe harmless --minutes 60

Layers go by the model's depth, the cut by the texts' lengths, the batch by memory, steps by time.
What is not given is asked on a terminal. params.yaml keeps its comments, and is written whole.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

from commands.start import fitting
from commands.start.corpus_tables import MOST_COUNTED, token_counter
from commands.start.data import (
    add_table_options,
    described_tables,
    settings_of,
    tokenizer_of,
)
from commands.start.fitting import Machine, TextSize
from commands.start.sizes import best_device, machine_of, size_of
from pipeline.core.console import InputError, run
from pipeline.core.params import load_params
from pipeline.core.presets import known, laid_over, lay_over, plain, preset
from pipeline.core.records import evenly_spaced
from pipeline.core.sections import CsvCorpora, Model
from pipeline.corpora.corpus import Corpus, check_corpus
from pipeline.corpora.folder_corpus import read_tables

REVISION = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
CHARACTERS_A_TOKEN = 4  # where there is no tokenizer yet


def main() -> None:
    options = _parsed()
    folder = options.folder or _asked("which folder of tables?", "my/texts", "FOLDER")
    model = options.model or _asked("which model?", known_models(), "--model")
    before = load_params()
    tables = described_tables(folder, options, before.corpora.csv)
    corpus = read_tables(tables, before.seed)
    check_corpus(corpus)
    machine = machine_of(options.device or best_device())
    minutes = options.minutes or float(_asked("how many minutes at hand?", "60", "--minutes"))
    with laid_over(f"legible-init {model}") as tree:
        said = lay_out_run(tree, model, tables, corpus, machine, 60 * minutes)
    print("\n".join(said))
    print(
        "params.yaml is written: `git diff` shows it, `legible-doctor` checks it, `dvc repro` runs"
    )


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", help="of tables")
    add_table_options(parser)
    parser.add_argument("--model", help=f"{known_models()}, REPO@COMMIT, a folder or a .gguf file")
    parser.add_argument("--device", help="cpu, cuda or mps; the best one that is here")
    parser.add_argument("--minutes", type=float, help="at hand for the whole run")
    return parser.parse_args()


def known_models() -> str:
    """The presets of models, and the embedded one."""
    return ", ".join(["embedded", *(name for name in known() if "model" in preset(name))])


def _asked(question: str, such_as: str, option: str) -> str:
    """An answer on a terminal. Raises InputError where there is none to ask on."""
    if not sys.stdin.isatty():
        raise InputError(f"{question} Give {option}: {such_as}")
    answer = input(f"{question} ({such_as}) ").strip()
    if not answer:
        raise InputError(f"{question} Give {option}: {such_as}")
    return answer


def lay_out_run(
    tree: Any, model: str, tables: CsvCorpora, corpus: Corpus, machine: Machine, seconds: float
) -> list[str]:
    """Set what fits in a tree of params.yaml; returns what was decided, a line each."""
    lay_over(tree, {"corpora": {"source": "csv", "csv": settings_of(tables)}})
    lay_over(tree, model_settings(model))
    lay_over(tree, {"runtime": {"device": machine.device, "threads": machine.cores}})
    chosen = Model.model_validate(plain(tree["model"]))
    if not any(example.safe_response for example in corpus.examples):
        drop_learners_of_responses(tree)
    if model == "embedded":
        return ["model: embedded, trained on these texts; every variant that can learn from them"]
    size = size_of(chosen, max(tree["extraction"]["layers"]))
    if model not in known():
        lay_over(tree, fitting.depths_of(size.blocks))
        lay_over(tree, {"model": {"dtype": fitting.dtype_of(size, machine)}})
    texts = text_size(corpus, token_counter(tokenizer_of(chosen)))
    plan = fitting.planned(size, tree["model"]["dtype"], texts, machine, seconds)
    lay_over(tree, {"text": plan.cut, "runtime": plan.passes})
    lay_over(tree, fitting.short_run(size.blocks, plan.steps, fitting.rate_of(size)))
    fitting.keep_short(tree, plan.steps)
    return [
        f"model: {size.blocks} blocks, {size.weights / 1e6:.0f} million weights in "
        f"{tree['model']['dtype']}; trained and read at layer {tree['reading']['layer']}",
        *plan.lines(texts, machine),
    ]


def drop_learners_of_responses(tree: Any) -> None:
    """Take out the variants that learn responses, of texts that have none."""
    rows = tree["variants"]
    for name in [name for name, row in rows.items() if row["response_weight"]]:
        del rows[name]


def model_settings(model: str) -> dict[str, Any]:
    """Where a model is: a preset's settings, or those of a repository, a folder or a file."""
    if model == "embedded":
        return {"model": {"source": "embedded"}}
    if model in known():
        return preset(model)
    if found := REVISION.fullmatch(model):
        return {"model": {"source": "hub", "hub": {"repo": found[1], "revision": found[2]}}}
    if Path(model).exists():
        return {"model": {"source": "path", "path": {"location": model}}}
    raise InputError(
        f"no model {model!r}: name one of {known_models()}, a repository with its commit "
        "(owner/name@40 hex digits), a folder or a .gguf file"
    )


def text_size(corpus: Corpus, count_tokens: Callable[[str], int] | None) -> TextSize:
    """How many texts there are, and how long; without a tokenizer, by their characters."""
    chosen = evenly_spaced([*corpus.labelled, *corpus.several], MOST_COUNTED)
    count = count_tokens or (lambda text: 1 + len(text) // CHARACTERS_A_TOKEN)

    def long(texts: list[str]) -> int:
        lengths = [count(text) for text in texts if text]
        if len(lengths) < 2:
            return max(lengths, default=0)
        return round(quantiles(lengths, n=20, method="inclusive")[-1])

    return TextSize(
        len(corpus.labelled) + len(corpus.several),
        long([example.prompt for example in chosen]),
        long([example.response for example in chosen]),
    )


def command() -> None:
    run(main)


if __name__ == "__main__":
    command()
