"""Files of pinned revisions from the Hugging Face Hub: verified, or one line that says why not.

Only single files are asked for, by exact name and commit. Nothing here reads a folder of the
working directory that happens to bear a repository's name, follows an adapter to another model,
or fetches anything that would be run when it is read.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.files import sha256_of
from pipeline.hub.client import TRIES, connected, remove_abandoned, watched, with_retries
from pipeline.hub.faults import CorruptError, given_up_at_once
from pipeline.hub.revision import RepoKind, Revision, check_request

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """A verified file: its path in the client's cache, its digest and its size in bytes."""

    path: Path
    sha256: str
    size: int


def fetch(
    repo: str,
    names: Sequence[str],
    revision: str,
    kind: RepoKind,
    sha256: Mapping[str, str] | None = None,
) -> dict[str, Fetched]:
    """Exact files of a pinned revision, from the Hub or from its cache, by name; each verified.

    Every file's digest must be the one that the Hub announced for it and, where `sha256` names the
    file, that one. A corrupt copy is removed from the cache and fetched again. A file in the cache
    needs no request. Raises InputError, one line, for anything that goes wrong.
    """
    source = Revision(repo, revision, kind)
    pinned = dict(sha256 or {})
    check_request(source, names, pinned)
    with connected():
        remove_abandoned(source.folder)
        return {name: _fetch_one(source, name, pinned.get(name)) for name in names}


def _fetch_one(source: Revision, name: str, pinned: str | None) -> Fetched:
    from huggingface_hub import hf_hub_download

    def download() -> str:
        return hf_hub_download(source.repo, name, repo_type=source.kind, revision=source.revision)

    def verified() -> Fetched:
        return _verified(source, name, Path(watched(source, download)), pinned)

    return with_retries(source, name, verified, again=given_up_at_once)


def _verified(source: Revision, name: str, path: Path, pinned: str | None) -> Fetched:
    """The file at `path`: a link in the cache's snapshot to a blob named by its announced digest.

    The digest is the SHA-256 of a large file and git's SHA-1 of a small one; the client itself
    checks the size alone. It is read from the first link, since the blob may be a link in turn.
    """
    sha256 = sha256_of(path)
    announced = path.readlink().name if path.is_symlink() else ""
    if not _DIGEST.fullmatch(announced):
        if pinned is None:
            raise source.refusal(
                f"nothing tells whether {name} is sound, as the cache keeps no links; unset "
                "HF_HUB_DISABLE_SYMLINKS, or move the cache with HF_HOME"
            )
        announced = pinned.lower()
    found = sha256 if len(announced) == len(sha256) else _git_sha1(path)
    if found != announced:
        _remove(path)
        raise CorruptError(f"(expected {announced[:12]}, got {found[:12]}), {TRIES} times over")
    if pinned is not None and pinned.lower() != sha256:
        path.unlink()  # the blob is what it claims to be, but it must not stand for this revision
        raise source.refusal(
            f"{name} has sha256 {sha256}, not the pinned {pinned}; find out which of the two is "
            "right"
        )
    return Fetched(path, sha256, path.stat().st_size)


def _git_sha1(path: Path) -> str:
    head = b"blob %d\0" % path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.sha1(head, usedforsecurity=False))
    return digest.hexdigest()


def _remove(path: Path) -> None:
    """Remove a snapshot's link with all that it leads to: the blob, and what that may link to."""
    links = [path]
    while links[-1].is_symlink():
        links.append(links[-1].parent / links[-1].readlink())
    for link in links:
        link.unlink(missing_ok=True)
