"""How the ranks of a stage are started: some processes of this node, or as LEGIBLE_LAUNCH says.

They meet as pipeline/models/meeting.py says.
"""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.console import InputError
from pipeline.models.meeting import MARK, MET, WAIT, wait_seconds

LAUNCH = "LEGIBLE_LAUNCH"  # what starts the ranks of a stage, before `-m MODULE`
WORK = Path("work")


def launched(module: str, argument: str, processes: int) -> bool:
    """Run this stage as several ranks and wait for them; False in a rank, and where one will do.

    LEGIBLE_LAUNCH in the environment says how, such as `torchrun --nnodes 2 ...`; without it, so
    many processes are started here. Exits with the ranks' code where one of them fails.
    """
    command = shlex.split(os.environ.get(LAUNCH, ""))
    if "RANK" in os.environ or (processes == 1 and not command):
        return False
    if not command:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes)]
    command += ["-m", module, *([argument] if argument else [])]
    with _mark() as mark:
        code = _ended(command, mark)
    if code:
        sys.exit(code)
    return True


def _ended(command: list[str], mark: str) -> int:
    """The exit code of a launcher. Raises InputError where it is not found, and where its ranks do
    not meet: launchers may wait for a missing node for ever, without a word. Ranks that are there
    have said by then which are missing."""
    environment, patience = os.environ | {MARK: mark}, 1.5 * wait_seconds()
    try:
        started = subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent)
    except FileNotFoundError:
        raise InputError(
            f"{LAUNCH} begins with {command[0]!r}, which is not found; give the words of a command "
            "that takes `-m MODULE`, such as torchrun --nnodes 2 ..."
        ) from None
    with started:
        try:
            return started.wait(patience)
        except subprocess.TimeoutExpired:
            if Path(mark).read_text(encoding="utf-8") == MET:
                return started.wait()
            raise InputError(
                f"the ranks of this stage did not meet within {patience:.0f} s; start "
                f"those of every node, or set {WAIT} to more seconds"
            ) from None
        finally:
            started.terminate()


@contextmanager
def _mark() -> Iterator[str]:
    """Within, a file in this working folder, by which the first rank knows it."""
    WORK.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=WORK, prefix="launched-") as file:
        yield str(WORK / Path(file.name).name)


def _die_with_parent() -> None:
    """Have Linux end this process where its parent is killed: no rank outlives its run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
