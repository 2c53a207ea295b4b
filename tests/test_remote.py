"""Results travel by a DVC remote that speaks S3: moto's server, on loopback.

DVC's S3 plugin and moto live in an environment of their own, which LEGIBLE_REMOTE names: `make
remote` makes it.
"""

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.clones import git
from tests.support.toy_project import commit, new_project

HOME = Path(os.environ.get("LEGIBLE_REMOTE", "/nowhere"))
MOTO, DVC = HOME / "bin" / "moto_server", HOME / "bin" / "dvc"
KEYS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
}
Run = Callable[..., str]

pytestmark = [
    pytest.mark.remote,
    pytest.mark.skipif(not MOTO.is_file(), reason="no S3 server here: make remote"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a running S3 server with a bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [MOTO, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    client = f"boto3.client('s3', endpoint_url='{address}')"
    make_bucket = f"import boto3; {client}.create_bucket(Bucket='results')"
    deadline = time.monotonic() + 60
    while subprocess.run(
        [HOME / "bin" / "python", "-c", make_bucket],
        env=os.environ | KEYS, capture_output=True, check=False,
    ).returncode:  # fmt: skip
        assert time.monotonic() < deadline, "the server does not answer"
    yield address
    server.terminate()
    server.wait()


def dvc(folder: Path, *words: str) -> str:
    """Run the environment's own DVC; what it prints. Fails where it fails."""
    path = f"{HOME / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [DVC, *words], cwd=folder, env=os.environ | KEYS | {"PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pushed(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose results were pushed, and its git remote beside it (`origin.git`)."""
    home = tmp_path_factory.mktemp("remote")
    project = new_project(home / "project")
    dvc(project, "remote", "add", "--default", "store", "s3://results/toy")
    dvc(project, "remote", "modify", "store", "endpointurl", endpoint)
    commit(project)
    git(home, "init", "-q", "--bare", "origin.git")
    git(project, "remote", "add", "origin", str(home / "origin.git"))
    git(project, "push", "-q", "origin", "HEAD:main")
    git(home / "origin.git", "symbolic-ref", "HEAD", "refs/heads/main")
    assert "pushed" in dvc(project, "push")
    return project


@pytest.fixture
def clone(pushed: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(pushed.parent / "origin.git"), "clone")
    return tmp_path / "clone"


def test_a_clone_pulls_and_has_nothing_to_run(pushed: Path, clone: Path) -> None:
    assert not (clone / "data/states").exists()
    dvc(clone, "pull")
    assert (clone / "data/states").read_bytes() == (pushed / "data/states").read_bytes()
    said = dvc(clone, "repro")
    assert "Data and pipelines are up to date." in said
    assert "Running stage" not in said


def test_what_was_pushed_is_not_pushed_again(pushed: Path) -> None:
    assert "Everything is up to date." in dvc(pushed, "push")


def test_an_experiment_travels_with_its_results(pushed: Path, clone: Path) -> None:
    dvc(pushed, "exp", "run", "-n", "other-seed", "-S", "seed=7")
    made = (pushed / "data/states").read_bytes()
    dvc(pushed, "exp", "push", "origin", "other-seed")
    dvc(clone, "pull")
    assert (clone / "data/states").read_bytes() != made
    dvc(clone, "exp", "pull", "origin", "other-seed")
    dvc(clone, "exp", "apply", "other-seed")
    assert re.search(r"^seed: 7$", (clone / "params.yaml").read_text(encoding="utf-8"), re.M)
    assert (clone / "data/states").read_bytes() == made
    assert "Data and pipelines are up to date." in dvc(clone, "repro")


def test_keys_stand_in_no_file_of_the_repository(pushed: Path) -> None:
    config = (pushed / ".dvc/config").read_text(encoding="utf-8")
    assert "s3://results/toy" in config
    assert "secret" not in config
    assert "access_key" not in config
