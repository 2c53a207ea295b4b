"""Which tables DVC does not watch: a change to them would re-run nothing."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.console import InputError

NOT_IGNORED = 1  # the exit code of `dvc check-ignore`; outside a repository there is another


def refuse_ignored(tables: Sequence[Path]) -> None:
    """Raises InputError for a table that a .dvcignore names."""
    asked = subprocess.run(
        [sys.executable, "-m", "dvc", "check-ignore", "--details", *map(str, tables)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if asked.returncode == 0:
        rule, _, table = asked.stdout.splitlines()[0].partition("\t")
        raise InputError(
            f"{table} is ignored by {rule.rpartition(':')[0]}, so a change to it would go unseen; "
            "take that line away, or the table out of corpora.csv.folder"
        )
