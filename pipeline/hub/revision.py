"""A pinned revision of a repository, and where its files are cached."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core.console import InputError

Kind = Literal["dataset", "model"]


@dataclass(frozen=True)
class Revision:
    """A pinned revision of a repository."""

    repo: str
    revision: str
    kind: Kind

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
