"""No request leaves a process that asked for no hub: the project's own, and a test's children."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants, is_offline_mode

from pipeline.hub.client import connected
from tests.support.no_network import PYTHON_PATH

ASK = (
    "import pipeline; from huggingface_hub import HfApi; next(iter(HfApi().list_repo_tree('a/b')))"
)
LIBRARIES = ("pipeline.models.peft_import", "transformers.modeling_utils", "sklearn", "matplotlib")
LOGGED_IN = {"HF_TOKEN": "hf_secret"}


def python(code: str, attempts: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": PYTHON_PATH, "ATTEMPTS": str(attempts)} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_faults_the_refusal_refuses_here_and_in_a_child(tmp_path: Path, attempts: Path) -> None:
    """The negative control: what asks for another machine is refused, and written down."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    assert "192.0.2.1" in attempts.read_text(encoding="utf-8")
    attempts.unlink()
    tried = tmp_path / "tried"
    done = python("import socket; socket.create_connection(('example.org', 80))", tried)
    assert "ConnectionRefusedError" in done.stderr
    assert "example.org" in tried.read_text(encoding="utf-8")


def test_faults_no_library_asks_a_hub_by_itself(tmp_path: Path) -> None:
    """Nor with a token of the user's, nor where a request is made outright."""
    tried = tmp_path / "tried"
    done = python(ASK, tried, **LOGGED_IN, HF_HUB_OFFLINE="0")
    assert "OfflineModeIsEnabled" in done.stderr
    done = python(f"import pipeline, {', '.join(LIBRARIES)}", tried, **LOGGED_IN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not tried.exists()


@pytest.mark.parametrize(("asked", "offline"), [("0", False), ("1", True), ("on", True)])
def test_faults_what_asks_for_a_hub_may_connect_unless_the_user_forbids_it(
    tmp_path: Path, asked: str, offline: bool
) -> None:
    """And a process that such a one starts keeps the user's choice, not the project's."""
    code = (
        "import pipeline\nfrom pipeline.hub.client import connected\n"
        "from huggingface_hub import is_offline_mode\n"
        "with connected():\n print(is_offline_mode())\nprint(is_offline_mode())\n"
    )
    nested = f"import subprocess, sys, pipeline\nsubprocess.run([sys.executable, '-c', {code!r}])"
    environment = {"LEGIBLE_OFFLINE": "", "HF_HUB_OFFLINE": asked}
    for program in (code, nested):
        done = python(program, tmp_path / "tried", **environment)
        assert done.stdout.split() == [str(offline), "True"], done.stderr


def test_connected_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGIBLE_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ZeroDivisionError), connected():
        assert 1 / int(is_offline_mode())
    assert is_offline_mode()
