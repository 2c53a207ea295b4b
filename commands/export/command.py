"""Take a run's results home: `legible-export`.

    legible-export adapter true_negatives my/adapter
    legible-export merged true_negatives my/model
    legible-export monitors true_negatives my/monitors
    legible-export direction base my/direction --concept privacy
    legible-export adapter true_negatives my/adapter --push me/legible --public

Each folder gets a card, README.md, made of the run's committed metrics. `--push` also makes it a
commit of a repository of the Hub, private unless `--public` is given; the token is that of
`hf auth login`, or HF_TOKEN.
"""

import argparse
from pathlib import Path

from transformers.utils import logging

from commands.export.directions import export_direction
from commands.export.models import export_adapter, export_merged
from commands.export.monitors import export_monitors
from commands.export.pushing import push
from pipeline.core.console import InputError, run

KINDS = {
    "adapter": "the adapter, as PEFT loads it",
    "merged": "the whole model, as transformers loads it",
    "monitors": "the saved monitors",
    "direction": "a concept's direction, for Python and llama.cpp",
}


def main() -> None:
    options = _options()
    check_new(options.folder)
    logging.disable_progress_bar()
    match options.kind:
        case "adapter":
            export_adapter(options.variant, options.folder)
        case "merged":
            export_merged(options.variant, options.folder)
        case "monitors":
            export_monitors(options.variant, options.folder)
        case "direction":
            export_direction(
                options.variant,
                options.concept,
                options.against,
                options.layer,
                options.position,
                options.folder,
            )
    print(f"{options.folder} holds {', '.join(sorted(p.name for p in options.folder.iterdir()))}")
    if options.push:
        print(f"pushed: {push(options.folder, options.push, public=options.public)}")


def command() -> None:
    """The console script: an InputError is one line, as for a stage."""
    run(main)


def check_new(folder: Path) -> None:
    """Raises InputError for a folder that holds something: it would be replaced as a whole."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already; name a new folder, or empty it")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="legible-export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "kind", choices=KINDS, help="; ".join(f"{k}: {v}" for k, v in KINDS.items())
    )
    parser.add_argument("variant", help="a row of `variants` in params.yaml")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--concept", default="", help="of a direction: the concept")
    parser.add_argument("--against", default="", help="another concept; default: all others")
    parser.add_argument("--layer", type=int, help="of a direction; default: reading.layer")
    parser.add_argument("--position", default="", help="default: reading.position")
    parser.add_argument("--push", default="", metavar="OWNER/NAME", help="a repository of the Hub")
    parser.add_argument("--public", action="store_true", help="may all see the repository?")
    options = parser.parse_args()
    if (options.kind == "direction") != bool(options.concept):
        raise InputError("a direction needs --concept, and nothing else takes it")
    return options


if __name__ == "__main__":
    run(main)
