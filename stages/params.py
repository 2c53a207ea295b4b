"""Check every knob before anything is touched: the first stage, and all others stand behind it.

DVC deletes a stage's outputs before it runs, so a mistake found later would cost them. The schema
written here depends on the code alone: a valid edit of params.yaml leaves it as it was, and
re-runs nothing by itself.
"""

import json

from pipeline.console import run
from pipeline.files import whole
from pipeline.params import Params, load_params
from pipeline.paths import SCHEMA


def main() -> None:
    load_params()
    with whole(SCHEMA) as draft:
        schema = json.dumps(Params.model_json_schema(), indent=2, sort_keys=True)
        draft.write_text(schema + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
