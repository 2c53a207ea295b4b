"""Who is who is read from the environment; what differs between ranks is said in one line."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import HashStore, Store

from pipeline.core.console import InputError
from pipeline.models import meeting
from pipeline.models.meeting import agree, meeting_store, rank_here

ENVIRONMENT = {
    "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4",
    "MASTER_ADDR": "here", "MASTER_PORT": "29500",
}  # fmt: skip
FACTS = {
    "stage": {"adapters": "base"},
    "params": {"seed": "0"},
    "code": {"stages/adapters.py": "digest"},
    "library": {"torch": "2.13.0"},
}


@pytest.fixture
def second_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Where rank 1 of two is waited for, by rank 0, for a second."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(meeting.WAIT, "1")
    found = HashStore()
    found.set_timeout(timedelta(seconds=1))
    monkeypatch.setattr(meeting, "meeting_store", lambda: found)
    return found


def test_a_rank_knows_itself_and_its_node(second_of_four: None) -> None:
    here = rank_here()
    assert here is not None
    assert (here.number, here.count, here.local, here.node) == (3, 4, 1, 2)
    assert (here.address, here.port) == ("here", 29500)


def test_a_process_alone_is_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    assert rank_here() is None
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert rank_here() is None


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("RANK", "", "RANK is '' in the environment, which is no number; torchrun and accelerate"),
        ("WORLD_SIZE", "two", "WORLD_SIZE is 'two' in the environment, which is no number"),
        ("RANK", "4", "RANK 4, LOCAL_RANK 1 and WORLD_SIZE 4 do not fit together"),
        ("LOCAL_RANK", "5", "RANK 3, LOCAL_RANK 5 and WORLD_SIZE 4 do not fit together"),
        ("MASTER_ADDR", "", "WORLD_SIZE is 4 and MASTER_ADDR is not set"),
        ("MASTER_PORT", "", "MASTER_PORT is '' in the environment"),
    ],
)
def test_a_half_said_environment_is_refused(
    second_of_four: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=line):
        rank_here()


def come(store: Store, **changed: dict[str, str]) -> None:
    """Rank 1 says what it has."""
    store.set(
        "facts/1",
        json.dumps(["other:/folder", {"environment": {"WORLD_SIZE": "2"}, **FACTS, **changed}, ""]),
    )
    store.set("read/1", "")


def test_ranks_that_agree_go_on(store: Store) -> None:
    come(store)
    agree(FACTS)
    assert json.loads(store.get("facts/0"))[1]["params"] == {"seed": "0"}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"stage": {"adapters": "supcon"}}, "stage adapters is supcon and base there; start the"),
        ({"stage": {"completions": ""}}, "stage adapters is not there and base there; start the"),
        ({"params": {"seed": "1"}}, "params seed is 1 and 0 there; copy one params.yaml"),
        ({"params": {"seed": "0", "x": "1"}}, "params x is 1 and not there there; copy one"),
        ({"code": {"stages/adapters.py": "other"}}, "code stages/adapters.py; check out the same"),
        ({"library": {"torch": "2.12.0"}}, "library torch is 2.12.0 and 2.13.0 there; install"),
        ({"environment": {"WORLD_SIZE": "3"}}, "environment WORLD_SIZE is 3 and 2 there; start"),
    ],
)
def test_what_differs_is_said_with_the_remedy(
    store: Store, changed: dict[str, dict[str, str]], line: str
) -> None:
    come(store, **changed)
    with pytest.raises(InputError, match=f"rank 1 at other:/folder differs from rank 0: {line}"):
        agree(FACTS)


def test_a_first_rank_in_another_folder_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Results would lie where nobody looks for them. In the folder itself, or where it is shared,
    the mark of whoever started the stage is there."""
    come(store)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(meeting.MARK, "work/launched-x")
    with pytest.raises(
        InputError, match=r"rank 0 is at .*, which is not the folder in which the st"
    ):
        agree(FACTS)
    Path("work").mkdir()
    Path("work/launched-x").touch()
    agree(FACTS)
    assert Path("work/launched-x").read_text("utf-8") == meeting.MET


def test_a_rank_that_does_not_come_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="rank 1 of 2 did not come to here:29500 within 1 s"):
        agree(FACTS)


def test_a_first_rank_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")  # where nobody listens
    monkeypatch.setenv(meeting.WAIT, "1")
    meeting_store.cache_clear()
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1 does not answer rank 3 .*; start rank 0"):
        meeting_store()
