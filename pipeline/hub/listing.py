"""Which files a pinned revision has: asked of the Hub once, then kept in the cache."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.core.files import read_json
from pipeline.hub.client import connected, watched, with_retries
from pipeline.hub.revision import RepoKind, Revision, check_request


def file_names(repo: str, revision: str, kind: RepoKind) -> list[str]:
    """The names of all files of a pinned revision, sorted. Raises InputError where the Hub does not
    say."""
    source = Revision(repo, revision, kind)
    check_request(source, [], {})
    with connected():
        return sorted(listing(source))


def listing(source: Revision) -> dict[str, int]:
    """Sizes in bytes of all files of a revision, by name.

    A commit never changes, so the Hub is asked once, and its answer kept in the cache. Offline and
    without one, where another program filled the cache, the files there are the listing.
    """
    from huggingface_hub import is_offline_mode

    kept = source.folder / "listings" / f"{source.revision}.json"
    with suppress(OSError, ValueError):
        return {str(name): int(size) for name, size in read_json(kept).items()}
    if is_offline_mode() and (held := _sizes_in(source.folder / "snapshots" / source.revision)):
        return held
    sizes = with_retries(
        source,
        "its list of files",
        lambda: watched(source, lambda: _sizes_on_hub(source)),
        again=lambda _: False,  # the client itself tries six times
    )
    with suppress(OSError):  # a cache that cannot be written may hold all files yet
        _keep(kept, sizes)
    return sizes


def _sizes_on_hub(source: Revision) -> dict[str, int]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    tree = HfApi().list_repo_tree(
        source.repo, recursive=True, revision=source.revision, repo_type=source.kind
    )
    return {file.path: int(file.size) for file in tree if isinstance(file, RepoFile)}


def _sizes_in(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _keep(path: Path, sizes: Mapping[str, int]) -> None:
    """Write whole, and under a name of this process: another may be writing the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(sizes), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
