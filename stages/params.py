"""Check every knob before anything is touched: the first stage, and all others stand behind it.

DVC deletes a stage's outputs before it runs, so a mistake found later would cost them. The schema
written here depends on the code alone: a valid edit of params.yaml leaves it as it was, and
re-runs nothing by itself. Results of variants that are no longer in params.yaml are removed, or
later stages, which read whole folders, would go on counting them in.
"""

import json
from collections.abc import Collection
from pathlib import Path

from pipeline.core.console import InputError, run
from pipeline.core.files import remove, whole
from pipeline.core.params import Params, load_params
from pipeline.core.paths import ADAPTERS, METRICS, REPRESENTATIONS, SCHEMA


def main() -> None:
    params = load_params()
    check_followed(params)
    forget_all_but(params.variants)
    with whole(SCHEMA) as draft:
        schema = json.dumps(Params.model_json_schema(), indent=2, sort_keys=True)
        draft.write_text(schema + "\n", encoding="utf-8")


def check_followed(params: Params) -> None:
    """Raises InputError for a folder that is not there: DVC follows both, whatever the source, and
    stops in the middle of a run without them."""
    for knob, path in (
        ("corpora.csv.folder", params.corpora.csv.folder),
        ("model.path.location", params.model.path.location),
    ):
        if not Path(path).exists():
            raise InputError(
                f"params.yaml: {knob} is {path}, which is not there; name one that is, also where "
                "another source is chosen"
            )


def forget_all_but(variants: Collection[str]) -> None:
    for folder in (ADAPTERS, REPRESENTATIONS, METRICS / "adapters"):
        for path in folder.glob("[!.]*"):
            if path.stem not in variants:
                remove(path)


if __name__ == "__main__":
    run(main)
