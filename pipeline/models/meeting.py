"""How the ranks of a stage meet, on one node or on several, before anything is done.

A node is a machine with a working folder of its own. A rank is one of the processes that work on a
stage together. Whatever starts them, torchrun or `accelerate launch` or a scheduler, says by RANK,
LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the environment who is who.
"""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from time import monotonic, sleep

import torch.distributed as dist
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from pipeline.core.console import InputError, one_line

WAIT, SECONDS = "LEGIBLE_WAIT", 300  # for how long ranks wait for each other at the start
MARK = "LEGIBLE_LAUNCHED"  # names a file in the folder where the stage was started
MET = "met"  # what it holds as soon as all ranks are there
STAGE = "stage"  # under which the first rank says what it works on
CURES = {
    "environment": "start all ranks of a run with the same command",
    "stage": "start the same stage on every node",
    "params": "copy one params.yaml to every node",
    "code": "check out the same commit on every node",
    "library": "install every node from the same constraints.txt",
}  # in the order in which differences are looked for


@dataclass(frozen=True)
class Rank:
    """One of `count` processes: its number among all, and among those of its node."""

    number: int
    count: int
    local: int
    address: str
    port: int

    @property
    def node(self) -> int:
        """The number of the first rank of this node."""
        return self.number - self.local


def rank_here() -> Rank | None:
    """Which rank this process is; None where it works alone. Raises InputError where the
    environment says it by half."""
    if _number("WORLD_SIZE", 1) == 1:
        return None
    number, count, local = (_number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not local <= number < count:
        raise InputError(
            f"RANK {number}, LOCAL_RANK {local} and WORLD_SIZE {count} do not fit together; {_HELP}"
        )
    address = os.environ.get("MASTER_ADDR")
    if not address:
        raise InputError(f"WORLD_SIZE is {count} and MASTER_ADDR is not set; {_HELP}")
    return Rank(number, count, local, address, _number("MASTER_PORT"))


_HELP = (
    "torchrun and accelerate launch set RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT"
)


def _number(name: str, default: int | None = None) -> int:
    given = os.environ.get(name, "" if default is None else str(default))
    if not given.isdecimal():
        raise InputError(f"{name} is {given!r} in the environment, which is no number; {_HELP}")
    return int(given)


def _say_met() -> None:
    """Tell whoever launched this rank that all are here."""
    mark = Path(os.environ.get(MARK, ""))
    if mark.is_file():
        mark.write_text(MET, encoding="utf-8")


def _stray(here: str) -> str:
    """The line for a first rank that is not where its stage was started; empty for any other."""
    mark = os.environ.get(MARK)
    if not mark or Path(mark).exists():
        return ""
    return (
        f"rank 0 is at {here}, which is not the folder in which the stage was started, and would "
        "write there; start rank 0 on that node (--node-rank 0, --machine_rank 0), or share the "
        "folder"
    )


@cache
def meeting_store() -> Store:
    """The store of words that all ranks reach, at MASTER_ADDR and MASTER_PORT. Raises InputError
    where the first rank, or whoever started it, does not answer there."""
    rank = rank_here()
    assert rank is not None
    agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun holds it
    holds = rank.number == 0 and not agents
    try:
        return TCPStore(
            rank.address,
            rank.port,
            rank.count,
            holds,
            timedelta(seconds=wait_seconds()),
            wait_for_workers=False,
        )
    except (dist.DistError, ValueError) as error:
        said = (
            f"cannot be opened by rank 0 ({one_line(error)}); set MASTER_PORT to a free port of it"
            if holds
            else f"does not answer rank {rank.number} ({one_line(error)}); start rank 0 there"
        )
        raise InputError(f"{rank.address}:{rank.port} {said}") from None


def wait_seconds() -> int:
    """For how long ranks wait for each other at the start."""
    return _number(WAIT, SECONDS)


def say_stage(stage: str, argument: str) -> None:
    """In the first rank: tell whoever follows what is worked on."""
    rank = rank_here()
    if rank and rank.number == 0:
        meeting_store().set(STAGE, json.dumps([stage, argument]))


def said_stage() -> tuple[str, str]:
    """The stage that the first rank works on, and its argument; waits until it says so."""
    stage, argument = json.loads(meeting_store().get(STAGE))
    return stage, argument


def agree(facts: Mapping[str, Mapping[str, str]]) -> None:
    """Wait until all ranks are here, and hold the facts of each to the first one's.

    facts: what has to be the same everywhere, by its kind (of CURES) and its name. Raises
    InputError, in all ranks alike, for a rank that did not come, and for the first difference.
    """
    rank, store = rank_here(), meeting_store()
    assert rank is not None
    own = {"environment": {"WORLD_SIZE": str(rank.count)}, **facts}
    here = f"{socket.gethostname()}:{Path.cwd()}"
    stray = _stray(here) if rank.number == 0 else ""
    store.set(f"facts/{rank.number}", json.dumps([here, own, stray]))
    said = [json.loads(fact) for fact in _all_of(store, "facts", rank)]
    store.set(f"read/{rank.number}", "")
    if rank.number == 0:
        _say_met()
        with suppress(InputError):  # whose end would close the store to who still reads
            _all_of(store, "read", rank)
    if said[0][2]:
        raise InputError(said[0][2])
    for number, (where, theirs, _) in enumerate(said):
        if difference := _first_difference(theirs, said[0][1]):
            raise InputError(f"rank {number} at {where} differs from rank 0: {difference}")


def _all_of(store: Store, name: str, rank: Rank) -> list[bytes]:
    """What every rank has stored under a name. Asks again and again: a wait within the store would
    end in lines of its own."""
    keys = [f"{name}/{number}" for number in range(rank.count)]
    end = monotonic() + wait_seconds()
    while missing := [str(number) for number, key in enumerate(keys) if not store.check([key])]:
        if monotonic() > end:
            raise InputError(
                f"rank {', '.join(missing)} of {rank.count} did not come to "
                f"{rank.address}:{rank.port} within {wait_seconds()} s; start it, or set "
                f"{WAIT} to more seconds"
            )
        sleep(0.1)
    return [store.get(key) for key in keys]


def _first_difference(
    theirs: Mapping[str, Mapping[str, str]], first: Mapping[str, Mapping[str, str]]
) -> str:
    """What differs, where, and the remedy; empty where nothing does."""
    for kind, remedy in CURES.items():
        mine, other = theirs.get(kind, {}), first.get(kind, {})
        for name in (*other, *(name for name in mine if name not in other)):
            values = [facts.get(name, "not there") for facts in (mine, other)]
            if values[0] != values[1]:
                shown = "" if kind == "code" else " is {} and {} there".format(*values)
                return f"{kind} {name}{shown}; {remedy}"
    return ""
