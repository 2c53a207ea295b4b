"""A folder becomes a commit of a repository; whatever fails is one line, and tells no token."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from commands.export.pushing import push
from pipeline.core.console import InputError
from pipeline.hub.fetch import fetch
from tests.support.hub_bench import Bench, tensors

REPO = "acme/legible"
FILES = {
    "README.md": b"---\nlicense: mit\n---\n# A card\n",
    "adapter_config.json": b"{}",
    "model.safetensors": tensors(3),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    for name, body in FILES.items():
        (tmp_path / "home" / name).write_bytes(body)
    return tmp_path / "home"


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A Hub without xet, which the client would take for uploads."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    return bench


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """All that was printed and logged, at every level."""
    caplog.set_level(logging.DEBUG)

    def text() -> str:
        out, err = capfd.readouterr()
        return out + err + caplog.text

    return text


@pytest.mark.parametrize("public", [False, True])
def test_a_folder_becomes_a_commit_and_is_fetched_as_it_was(
    bench: Bench, folder: Path, public: bool, said: Callable[[], str]
) -> None:
    bench.log_in(bench.hub.token)
    address = push(folder, REPO, public=public)
    held = bench.hub.repositories["models", REPO]
    assert held.files == FILES
    assert held.visibility == ("public" if public else "private"), "private unless asked"
    assert address == f"{bench.hub.url}/{REPO}/commit/{held.commit}"
    fetched = fetch(REPO, ["model.safetensors"], held.commit, "model")
    assert fetched["model.safetensors"].path.read_bytes() == FILES["model.safetensors"]
    assert bench.hub.token not in said()
    assert {seen.token for seen in bench.hub.seen if "/upload/" in seen.line} == {None}


def test_pushed_again_it_is_the_next_commit(bench: Bench, folder: Path) -> None:
    bench.log_in(bench.hub.token)
    first = push(folder, REPO, public=False)
    (folder / "adapter_config.json").write_bytes(b'{"r": 2}')
    assert push(folder, REPO, public=False) != first
    assert bench.hub.repositories["models", REPO].files["adapter_config.json"] == b'{"r": 2}'


def test_a_token_never_leaves_in_a_message(
    bench: Bench, folder: Path, said: Callable[[], str]
) -> None:
    secret = "hf_aSecretThatIsWrong"  # noqa: S105
    bench.log_in(secret)
    with pytest.raises(InputError) as refused:
        push(folder, REPO, public=False)
    assert "log in with `hf auth login`, or set HF_TOKEN" in str(refused.value)
    assert secret not in f"{refused.value}{said()}"


ANYONE = {
    "not logged in": ("", REPO, None, "log in"),
    "another's name": ("hf_theRightOne", "other/legible", None, "may not write there"),
    "no name": ("hf_theRightOne", "a/b/c", None, "write it as owner/name"),
    "a broken Hub": ("hf_theRightOne", REPO, 500, "HTTP 500"),
    "what is no Hub": ("hf_theRightOne", REPO, 404, "no such account"),
}


@pytest.mark.parametrize(("token", "repo", "status", "message"), ANYONE.values(), ids=ANYONE)
def test_whatever_fails_is_one_line_with_a_remedy(
    bench: Bench, folder: Path, token: str, repo: str, status: int | None, message: str
) -> None:
    if token:
        bench.log_in(token)
    if status:
        bench.hub.fail("POST /api/repos/create", status=status)
    with pytest.raises(InputError, match=message) as refused:
        push(folder, repo, public=False)
    assert str(refused.value).startswith(f"cannot push {folder} to {repo}: ")
    assert "\n" not in str(refused.value)
    assert {path.name for path in folder.iterdir()} == set(FILES)


def test_whoever_wants_no_network_gets_none(bench: Bench, folder: Path) -> None:
    bench.log_in(bench.hub.token)
    bench.go_offline()
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        push(folder, REPO, public=False)
    assert not bench.hub.seen
