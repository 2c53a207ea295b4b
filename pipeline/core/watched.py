"""Which of a user's files DVC does not watch: a change to them would re-run nothing."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.console import InputError

NOT_IGNORED = 1  # the exit code of `dvc check-ignore`; outside a repository there is another


def refuse_ignored(files: Sequence[Path], knob: str) -> None:
    """Raises InputError for a file that a .dvcignore names. knob: which says where files are."""
    asked = subprocess.run(
        [sys.executable, "-m", "dvc", "check-ignore", "--details", *map(str, files)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if asked.returncode == 0:
        rule, _, file = asked.stdout.splitlines()[0].partition("\t")
        raise InputError(
            f"{file} is ignored by {rule.rpartition(':')[0]}, so a change to it would go unseen; "
            f"take that line away, or the file out of {knob}"
        )
