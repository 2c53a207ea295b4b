"""A pinned revision of a repository: where its files are cached, and which may be asked for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core.console import InputError

RepoKind = Literal["dataset", "model"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_RUN_WHEN_READ = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".py")


@dataclass(frozen=True)
class Revision:
    """A commit of a repository, as params.yaml or a recipe names it; not checked yet."""

    repo: str
    revision: str
    kind: RepoKind

    @property
    def folder(self) -> Path:
        """Where the client caches the repository."""
        return cache_folder() / f"{self.kind}s--{self.repo.replace('/', '--')}"

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{'datasets/' * (self.kind == 'dataset')}{self.repo}"

    def refusal(self, reason: str) -> InputError:
        """One line; `reason` says what is wrong and ends with the remedy."""
        section = "corpora" if self.kind == "dataset" else "model"
        line = f"cannot fetch {self.kind} {self.repo}@{self.revision[:12]}: {reason}"
        return InputError(" ".join(f"{line}, or set {section}.source: embedded".split()))


def cache_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().resolve()


def check_request(source: Revision, names: Sequence[str], pinned: Mapping[str, str]) -> None:
    """Refuse, before the first request, what must never be asked for.

    names: the files wanted. pinned: known SHA-256 digests by name. Raises InputError for a revision
    that is no full commit, a name that leads out of the repository, a file that would be run when
    it is read, and a digest of a file that is not wanted.
    """
    if not _COMMIT.fullmatch(source.revision):
        raise source.refusal(
            f"revision {source.revision!r} is no full commit; pin 40 hex digits of "
            f"{source.page}/commits/main"
        )
    for name in names:
        _check_name(source, name)
    for name in pinned.keys() - set(names):
        raise source.refusal(f"sha256 pins {name!r}, which is not among the files; name it there")


def _check_name(source: Revision, name: str) -> None:
    parts = name.split("/")
    if {"", ".", ".."} & set(parts) or not name.isprintable() or set(name) & set("\\:"):
        raise source.refusal(
            f"{name!r} is no path inside a repository; name files as "
            f"{source.page}/tree/{source.revision} lists them"
        )
    adapter = source.kind == "model" and parts[-1].startswith("adapter_")
    if adapter or name.lower().endswith(_RUN_WHEN_READ):
        raise source.refusal(
            f"{name!r} is code, a pickle or an adapter, which are never fetched; name other files"
        )
