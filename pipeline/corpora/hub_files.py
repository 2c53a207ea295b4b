"""Files of the Hub's datasets: fetched, held to their digests, and read row by row.

A digest is known from the source or, where that gives none, from sources.lock.json, to which the
first fetch writes what it saw.
"""

import csv
import gzip
import json
import lzma
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipeline.core.console import InputError
from pipeline.core.files import read_json, write_json
from pipeline.corpora.recipes import Cells
from pipeline.corpora.sources import Source
from pipeline.hub.fetch import Fetched, fetch
from pipeline.hub.listing import file_names


class Lock:
    """The digests of files as they were first seen, where their source gives none."""

    def __init__(self, path: Path):
        self.path = path
        self.entries = _read_lock(path)

    def fetch(self, source: Source) -> dict[str, Fetched]:
        """A source's files by name, each with the digest that the source or the lock gives."""
        entry = self.entries.get(source.repo, {})
        if entry.get("revision") != source.revision:  # another revision has other files
            entry = self.entries[source.repo] = {"revision": source.revision, "files": {}}
        seen: dict[str, str] = entry["files"]
        names: dict[str, str] = {}
        for pattern, sha256 in source.files:
            name = _match(pattern, [*seen]) or self._listed(source, pattern)
            names[name] = sha256 or seen.get(name, "")
        found = fetch(
            source.repo,
            [*names],
            source.revision,
            "dataset",
            {name: digest for name, digest in names.items() if digest},
        )
        seen |= {name: file.sha256 for name, file in found.items()}
        return found

    def write(self) -> None:
        write_json(self.path, self.entries)

    def _listed(self, source: Source, pattern: str) -> str:
        if "*" not in pattern:
            return pattern
        names = file_names(source.repo, source.revision, "dataset")
        name = _match(pattern, names)
        if name is None:
            raise InputError(
                f"dataset {source.repo}@{source.revision[:12]} has not one file like {pattern}; "
                "its layout changed: choose another recipe, or set corpora.source: embedded"
            )
        return name


def _read_lock(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        entries = read_json(path)
        if all({"revision", "files"} == entry.keys() for entry in entries.values()):
            return dict(entries)
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{path} is damaged; restore it from the repository")


def _match(pattern: str, names: Iterable[str]) -> str | None:
    found = [name for name in names if fnmatch(name, pattern)]
    return found[0] if len(found) == 1 else None


def read_cells(path: Path, name: str) -> Iterator[Cells]:
    """The rows of a file, by the ending of its name: jsonl (also .gz, .xz), json, csv, parquet.

    Raises InputError naming the file where it is none of these, or not what its name says.
    """
    try:
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq  # type: ignore[import-untyped]

            for batch in pq.ParquetFile(path).iter_batches(1000):
                yield from batch.to_pylist()
        elif name.endswith(".csv"):
            with path.open(encoding="utf-8-sig", newline="") as lines:
                yield from csv.DictReader(lines)
        elif name.endswith(".json"):
            yield from read_json(path)
        elif name.endswith((".jsonl", ".jsonl.gz", ".jsonl.xz")):
            opened: Any = {".gz": gzip.open, ".xz": lzma.open}.get(Path(name).suffix, open)
            with opened(path, "rt", encoding="utf-8", newline="\n") as lines:
                yield from map(json.loads, lines)
        else:
            raise InputError(f"{name} is of no kind that is read: jsonl, json, csv or parquet")
    except (ValueError, OSError, EOFError, lzma.LZMAError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is not what its name says ({error}); choose another") from None
