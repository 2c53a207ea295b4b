"""Sockets are refused in this process, but for those of this machine: Python imports this by itself
where its folder is on PYTHONPATH. Whoever tries is written to the file ATTEMPTS names."""

import os
import sys
import traceback
from pathlib import Path
from typing import Any

HERE = ("127.", "::1", "localhost", "0.0.0.0", "ip6-localhost")  # noqa: S104
TRIED = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
}


def refuse(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: raises where a name or an address of another machine is asked for."""
    if event not in TRIED:
        return
    address = args[TRIED[event]]
    host = address[0] if isinstance(address, tuple) else address
    host = host.decode() if isinstance(host, bytes) else host
    if not host or str(host).startswith((*HERE, "/", "\0")):
        return
    with Path(os.environ["ATTEMPTS"]).open("a", encoding="utf-8") as file:
        stack = " < ".join(f"{f.filename}:{f.lineno}" for f in reversed(traceback.extract_stack()))
        file.write(f"{event} {host} in {sys.argv}: {stack[:1500]}\n")
    raise ConnectionRefusedError(f"tests have no network: {host}")


sys.addaudithook(refuse)
