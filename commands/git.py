"""Git, asked for what a repository holds. It is run as a program, with no path quoted."""

import subprocess
from pathlib import Path

GIT = ("git", "-c", "core.quotepath=off")


def output_of(folder: Path, *command: str) -> str:
    """What a command prints. Raises CalledProcessError where it fails."""
    done = subprocess.run([*GIT, *command], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode("utf-8")


def lines_of(folder: Path, *command: str) -> list[str]:
    """The lines that a command prints; none where it fails, as without a repository."""
    done = subprocess.run([*GIT, *command], cwd=folder, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []
