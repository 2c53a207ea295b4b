"""Ranks started as launchers start them, by the environment, each in a folder of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from tests.support.dag import ROOT
from tests.support.no_network import PYTHON_PATH
from tests.support.tiny import tiny_tree, write_params

# What a rank sees, however it was started.
SEEN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def prepared(shared: Path) -> Path:
    """A folder with all that comes before the finetune, and what one process made of it after."""
    made = shared / "prepared"
    with FileLock(shared / "prepared.lock"):
        if not made.exists():
            folder = shared / "preparing"
            folder.mkdir()
            tree = tiny_tree()
            tree["finetune"]["retain_per_step"] = 4  # which two divide
            write_params(folder / "params.yaml", tree)
            (folder / "examples").symlink_to(ROOT / "examples")
            python(folder, "-c", ALONE)
            folder.rename(made)
    return made


ALONE = """
import sys
from stages import params, corpora, base_model, texts, pairs, adapters, representations, completions
for stage in (params, corpora, base_model, texts, pairs):
    stage.main()
for name in ("base", "sft_contrast"):
    sys.argv[1:] = [name]
    adapters.main()
representations.main()
completions.main()
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def python(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, *words], cwd=folder, env=clean(), check=True)


def clean(**more: object) -> dict[str, str]:
    """An environment in which no launcher has said anything; the project stands on its path."""
    env = {name: value for name, value in os.environ.items() if name not in SEEN}
    return env | {"PYTHONPATH": PYTHON_PATH} | {name: str(value) for name, value in more.items()}


def ranks(
    folders: Sequence[Path], commands: Sequence[Sequence[str]], **more: object
) -> list[tuple[int, str]]:
    """The exit code and the stderr of several ranks, each with a folder and words for Python."""
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=folder, stderr=subprocess.PIPE, text=True,
            env=clean(RANK=number, LOCAL_RANK=0, WORLD_SIZE=len(folders), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=port, LEGIBLE_WAIT=60, **more),
        )
        for number, (folder, command) in enumerate(zip(folders, commands, strict=True))
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]
