"""What a corpus holds, printed before anything is trained: `legible-data`.

    legible-data                                    the corpus that params.yaml names
    legible-data my/texts --label topic --safe fine  a folder of tables, and the params to paste

Harmful texts are shown only with --show.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from rich.console import Console
from ruamel.yaml import YAML

from commands.start.corpus_tables import show_corpus, token_counter
from pipeline.core.console import InputError, run
from pipeline.core.files import read_json
from pipeline.core.params import load_params
from pipeline.core.paths import BASE_MODEL, CORPORA, EXAMPLES, MANIFEST, SEVERAL, SHIFTED
from pipeline.core.presets import lay_over
from pipeline.core.records import Example, read_records
from pipeline.core.sections import CsvCorpora, Model
from pipeline.corpora.columns import listed
from pipeline.corpora.corpus import check_corpus, manifest_of
from pipeline.corpora.folder_corpus import read_tables, tables_of
from pipeline.corpora.near_duplicates import find_near_duplicates
from pipeline.corpora.tables import columns_of

TOKENIZER = "tokenizer.json"
# What columns are called mostly, the likeliest first.
CHATS = ("messages", "conversations", "conversation")
PROMPTS = ("prompt", "instruction", "question", "query", "input", "text", "sentence", "message")
RESPONSES = ("response", "output", "answer", "completion")
LABELS = ("label", "labels", "concept", "category", "topic", "intent", "class", "value")


def main() -> None:
    options = _parsed()
    params = load_params()
    # Texts may hold what rich would read as markup.
    console = Console(markup=False, emoji=False, highlight=False)
    tokens = token_counter(tokenizer_of(params.model))
    if not options.folder and params.corpora.source != "csv":
        manifest, texts = _gathered()
        show_corpus(
            manifest, texts, console, cut=params.text, count_tokens=tokens,
            show_harmful=options.show,
        )  # fmt: skip
        return
    tables = _chosen_tables(options, params.corpora.csv)
    corpus = read_tables(tables, params.seed)
    every = (*corpus.labelled, *corpus.several)
    show_corpus(
        manifest_of(corpus, vars(find_near_duplicates(every))),
        every, console, cut=params.text, count_tokens=tokens, show_harmful=options.show,
    )  # fmt: skip
    if options.folder:
        console.print(f"In params.yaml:\n\n{pasted(tables)}")
    check_corpus(corpus)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", help="of tables; without one, what params.yaml names")
    add_table_options(parser)
    parser.add_argument("--show", action="store_true", help="show harmful texts too")
    return parser.parse_args()


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Options that say what tables hold, by the names of the knobs."""
    parser.add_argument("--texts", nargs="+", default=[], help="columns of prompt and response")
    parser.add_argument("--label", nargs="+", help="its column, or several that say yes or no")
    parser.add_argument("--unlabelled", default="", help="the concept of texts without a label")
    parser.add_argument("--names", nargs="+", default=[], help="of labels: H=hate")
    parser.add_argument("--safe", nargs="*", default=[], help="concepts of harmless texts")


def _chosen_tables(options: argparse.Namespace, ours: CsvCorpora) -> CsvCorpora:
    return described_tables(options.folder, options, ours) if options.folder else ours


def described_tables(folder: str, options: argparse.Namespace, ours: CsvCorpora) -> CsvCorpora:
    """A folder's tables as options describe them; columns that they don't name are guessed.

    Raises InputError where nothing can be guessed.
    """
    columns = columns_of(tables_of(Path(folder))[0])
    label = options.label or [_likeliest(columns, LABELS, "--label", folder)]
    return ours.model_copy(
        update={
            "folder": folder,
            "texts": tuple(options.texts) or texts_among(columns, folder),
            "label": label[0] if len(label) == 1 else tuple(label),
            "unlabelled": options.unlabelled,
            "names": dict(_pair(name) for name in options.names),
            "safe": tuple(options.safe),
        }
    )


def texts_among(columns: Sequence[str], folder: str) -> tuple[str, ...]:
    """The columns that hold texts, by what they are called mostly."""
    first = _likeliest(columns, (*CHATS, *PROMPTS), "--texts", folder)
    if first.strip().lower() in CHATS:
        return (first,)
    return (first, *[c for name in RESPONSES for c in columns if c.strip().lower() == name][:1])


def _likeliest(columns: Sequence[str], known: Sequence[str], option: str, folder: str) -> str:
    called = {column.strip().lower(): column for column in reversed(columns)}
    for name in known:
        if name in called:
            return called[name]
    raise InputError(f"which column of {folder}? Name it by {option}: {listed(columns)}")


def _pair(name: str) -> tuple[str, str]:
    label, _, called = name.partition("=")
    if not label or not called:
        raise InputError(f"--names {name}: write LABEL=NAME")
    return label, called


def pasted(tables: CsvCorpora) -> str:
    """The lines of params.yaml that make a folder's tables the corpus."""
    yaml, out = YAML(), io.StringIO()
    yaml.width = 300
    tree: dict[str, object] = {"corpora": {"source": "csv", "csv": {}}}
    lay_over(tree, {"corpora": {"csv": settings_of(tables)}})
    yaml.dump(tree, out)
    return out.getvalue()


def settings_of(tables: CsvCorpora) -> dict[str, object]:
    """What describes a folder's tables, as params.yaml has it."""
    own = tables.model_dump(include={"folder", "texts", "label", "unlabelled", "names", "safe"})
    return {name: list(v) if isinstance(v, tuple) else v for name, v in own.items()}


def tokenizer_of(model: Model) -> Path:
    """Where the tokenizer of the model lies, if it is here: the base model's own, that of a folder
    of the user's, or one in the Hub's cache."""
    if (BASE_MODEL / TOKENIZER).is_file() or model.source in ("embedded", "package"):
        return BASE_MODEL / TOKENIZER
    if model.source == "path":
        return Path(model.path.location) / TOKENIZER
    found = try_to_load_from_cache(model.hub.repo, TOKENIZER, revision=model.hub.revision)
    return Path(found) if isinstance(found, str) else BASE_MODEL / TOKENIZER


def _gathered() -> tuple[dict[str, object], list[Example]]:
    """What `dvc repro corpora` made: its manifest and its texts."""
    files = [CORPORA / path.name for path in (EXAMPLES, SEVERAL, SHIFTED)]
    about = CORPORA / MANIFEST.name
    if not about.is_file() or not files[0].is_file():
        raise InputError(f"{CORPORA} holds no corpora yet; run `dvc repro corpora`")
    manifest = read_json(about)
    current = {"near_duplicates", "sources", "sets"} <= manifest.keys()
    if not current or not all(path.is_file() for path in files):
        raise InputError(f"{about} is of an older version; run `dvc repro corpora`")
    return manifest, [text for path in files for text in read_records(path, Example)]


def command() -> None:
    """The console script: an InputError is one line, as for a stage."""
    run(main)


if __name__ == "__main__":
    command()
