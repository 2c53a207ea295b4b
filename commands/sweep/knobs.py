"""Set knobs of params.yaml, as a job does in a clone of its own.

    python -m commands.sweep.knobs seed=3 finetune.learning_rate=1e-3 'finetune.target_layers=[2]'

Everything else stays, with comments and order. What cannot run is refused, and nothing is written.
"""

import sys
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.console import InputError, nearest, run
from pipeline.core.presets import laid_over


def main() -> None:
    set_knobs(sys.argv[1:])


def set_knobs(words: Sequence[str]) -> None:
    """Set `section.key=value` in params.yaml, values in YAML. Raises InputError for a knob that is
    not there, and for what cannot run."""
    with laid_over(" ".join(words)) as tree:
        for word in words:
            name, sign, text = word.partition("=")
            if not sign:
                raise InputError(f"{word}: write a knob as section.key=value")
            *sections, key = name.split(".")
            part = tree
            for section in sections:
                part = _within(part, section, name)
            _within(part, key, name)
            part[key] = _value(text, name)


def _within(part: Any, key: str, name: str) -> Any:
    known = part if isinstance(part, dict) else {}
    if key not in known:
        raise InputError(f"params.yaml has no knob {name}{nearest(key, map(str, known))}")
    return part[key]


def _value(text: str, name: str) -> Any:
    try:
        return YAML().load(text)
    except YAMLError as error:
        raise InputError(f"{name}={text} is no YAML: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    run(main)
