"""A Hugging Face Hub on loopback: what the client needs of one, with faults on demand.

    with MiniHub() as hub:
        commit = hub.add("dataset", "acme/concepts", {"train.jsonl": b"{}"})
        hub.fail(r"GET .*train", times=1, status=503)

Real sockets, so that the client need not be changed. Files are served as the Hub serves them:
small ones by itself, under git's sha1; large ones (by their ending) by a redirect to another
origin, under their sha256. That origin must never see a token. Whoever has the token may write to
repositories of `owner`.

Longer than other files, as one server stands whole.
"""

import base64
import hashlib
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".parquet", ".safetensors", ".bin", ".gz", ".xz")
EVER = 10**9
ROUTE = re.compile(
    r"/(?P<api>api/)?(?P<kind>models/|datasets/)?(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?P<what>tree|revision|resolve)/(?P<revision>[^/]+)(?:/(?P<name>.+))?)?"
)
WRITTEN = re.compile(
    r"/(?:api/models/)?(?P<repo>[^/]+/[^/]+?)(?:\.git)?/"
    r"(?P<what>preupload/main|commit/main|info/lfs/objects/batch)"
)


class Seen(NamedTuple):
    """A request as it arrived."""

    line: str
    token: str | None


@dataclass
class Fault:
    """What happens to the next `times` requests whose line (method and path) matches.

    status: the answer's, with `headers` and `body`. truncate: the bytes after which the connection
    ends; reset: it ends with a TCP reset. corrupt: one byte of the body is changed. drip: the
    seconds between two pieces of 64 bytes. delay: the seconds before the answer. drop: the
    connection ends before any answer.
    """

    pattern: str
    times: int = EVER
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": "injected"}'
    truncate: int | None = None
    reset: bool = False
    corrupt: bool = False
    drip: float = 0.0
    delay: float = 0.0
    drop: bool = False


@dataclass
class Repository:
    files: dict[str, bytes]
    gated: bool
    commit: str
    visibility: str = "public"


class MiniHub:
    """A running server. `seen` is every request so far; `token` opens gated repositories, and
    tokens in `expired` are refused everywhere."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.token = "hf_theRightOne"  # noqa: S105
        self.expired = {"hf_expiredToken"}
        self.owner = "acme"  # whose repositories may be written to
        self.blobs: dict[str, bytes] = {}  # uploaded, by their sha256, and in no repository yet
        self.page = 1000  # files of a listing in one answer
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.hung_up = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "MiniHub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.heal()
        self._server.shutdown()
        self._server.server_close()

    def add(self, kind: str, repo: str, files: Mapping[str, bytes], gated: bool = False) -> str:
        """Publish a repository. Returns its commit, the same for the same files."""
        listed = "".join(f"{name} {git_sha1(body)}\n" for name, body in sorted(files.items()))
        commit = git_sha1(listed.encode())
        self.repositories[f"{kind}s", repo] = Repository(dict(files), gated, commit)
        return commit

    def fail(self, pattern: str, **fault: Any) -> None:
        self.faults.append(Fault(pattern, **fault))

    def heal(self) -> None:
        """No more faults; bodies that drip end where they are."""
        self.faults.clear()
        self.hung_up.set()
        self.hung_up = threading.Event()

    def requests(self, pattern: str) -> int:
        """How many requests had such a line."""
        return sum(bool(re.search(pattern, seen.line)) for seen in self.seen)

    def environment(self, home: Path) -> dict[str, str]:
        """For a child process, whose client reads these when it is imported."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        }

    def fault(self, line: str) -> Fault | None:
        """The first fault that is due; it counts as used."""
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *request: object) -> None:
        """Clients hang up as they please."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: MiniHub

    def log_message(self, *message: object) -> None:
        """`seen` is the log."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._take()

    def do_PUT(self) -> None:
        self._take()

    def _arrived(self) -> tuple[str, str | None, Fault]:
        """The path that is asked for, with which token, and the fault that is due."""
        line = f"{self.command} {unquote(self.path)}"
        authorization = self.headers.get("Authorization")
        token = authorization.removeprefix("Bearer ") if authorization else None
        self.hub.seen.append(Seen(line, token))
        fault = self.hub.fault(line) or Fault(line)
        self.hub.hung_up.wait(fault.delay)
        return unquote(urlsplit(self.path).path), token, fault

    def _take(self) -> None:
        """What is written to the Hub: a repository, the bodies of large files, a commit."""
        path, token, fault = self._arrived()
        body = self._body()
        if fault.status is not None:
            self._send(fault.status, fault.body, fault.headers)
        elif path.startswith("/upload/"):
            self.hub.blobs[path.removeprefix("/upload/")] = body
            self._send(200, b"", {})
        elif token != self.hub.token:
            self._refuse(401, None, "Invalid credentials in Authorization header")
        elif path == "/api/validate-yaml":
            self._send_json({"warnings": [], "errors": []}, fault)
        elif path == "/api/repos/create":
            self._create(json.loads(body), fault)
        elif route := WRITTEN.fullmatch(path):
            self._write(route["repo"], route["what"], body, fault)
        else:
            self._refuse(404, "NoRoute", f"nothing at {path}")

    def _body(self) -> bytes:
        """What is sent, at once or in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _create(self, wanted: dict[str, str], fault: Fault) -> None:
        repo = f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] != self.hub.owner:
            self._refuse(403, None, f"You don't have the rights to create {repo}")
        elif ("models", repo) in self.hub.repositories:
            known = {"error": "You already created this repo", "url": f"{self.hub.url}/{repo}"}
            self._send(409, json.dumps(known).encode(), {})
        else:
            self.hub.add("model", repo, {})
            self.hub.repositories["models", repo].visibility = wanted["visibility"]
            self._send_json({"url": f"{self.hub.url}/{repo}"}, fault)

    def _write(self, repo: str, what: str, body: bytes, fault: Fault) -> None:
        if what == "commit/main":
            files = dict(self.hub.repositories["models", repo].files)
            for item in map(json.loads, body.splitlines()):
                own = item["value"]
                if item["key"] == "file":
                    files[own["path"]] = base64.b64decode(own["content"])
                elif item["key"] == "lfsFile":
                    files[own["path"]] = self.hub.blobs[own["oid"]]
            visibility = self.hub.repositories["models", repo].visibility
            oid = self.hub.add("model", repo, files)
            self.hub.repositories["models", repo].visibility = visibility
            url = f"{self.hub.url}/{repo}/commit/{oid}"
            self._send_json({"success": True, "commitUrl": url, "commitOid": oid}, fault)
            return
        asked = json.loads(body)
        if what == "preupload/main":
            modes = [{"path": file["path"], "shouldIgnore": False,
                      "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular"}
                     for file in asked["files"]]  # fmt: skip
            self._send_json({"files": modes}, fault)
        else:
            there = f"http://localhost:{self.hub.port}/upload"
            objects = [{**own, "actions": {"upload": {"href": f"{there}/{own['oid']}"}}}
                       for own in asked["objects"]]  # fmt: skip
            self._send_json({"transfer": "basic", "objects": objects}, fault)

    def _answer(self) -> None:
        address = urlsplit(self.path)
        path, token, fault = self._arrived()
        if fault.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault.status is not None:
            self._send(fault.status, fault.body, fault.headers)
        elif path.startswith("/cdn/"):
            self._send_blob(path.removeprefix("/cdn/"), fault)
        elif route := ROUTE.fullmatch(path):
            self._route(route, parse_qs(address.query), token, fault)
        else:
            self._refuse(404, "NoRoute", f"nothing at {path}")

    def _route(
        self, route: re.Match[str], query: dict[str, list[str]], token: str | None, fault: Fault
    ) -> None:
        kind, repo, what, revision, name = route.group("kind", "repo", "what", "revision", "name")
        found = self.hub.repositories.get(((kind or "models/").rstrip("/"), repo))
        if token in self.hub.expired:
            self._refuse(401, None, "User Access Token is expired")
        elif found is None:  # the Hub hides from a stranger what is private
            self._refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        elif revision not in (None, "main", found.commit):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif what == "tree":
            self._send_page(_tree(found), query, fault)
        elif what != "resolve":
            self._send_json({"id": repo, "sha": found.commit, "tags": []}, fault)
        elif found.gated and token != self.hub.token:
            self._refuse(403 if token else 401, "GatedRepo", f"Access to {repo} is restricted.")
        elif name not in found.files:
            commit = {"X-Repo-Commit": found.commit}
            self._refuse(404, "EntryNotFound", "Entry not found", commit)
        else:
            self._send_file(found, name, fault)

    def _send_file(self, repository: Repository, name: str, fault: Fault) -> None:
        body = repository.files[name]
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{git_sha1(body)}"'}
        if not name.endswith(LARGE):
            self._send(200, body, headers, fault)
            return
        sha256 = hashlib.sha256(body).hexdigest()
        headers |= {
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(body)),
            "Location": f"http://localhost:{self.hub.port}/cdn/{sha256}?signature=hf_signedAddress",
        }
        self._send(302, b"", headers)

    def _send_blob(self, sha256: str, fault: Fault) -> None:
        for repository in self.hub.repositories.values():
            for body in repository.files.values():
                if hashlib.sha256(body).hexdigest() == sha256:
                    asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "bytes=0-")
                    start = int(asked[1]) if asked else 0
                    part = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
                    self._send(206 if start else 200, body[start:], part if start else {}, fault)
                    return
        self._refuse(404, "EntryNotFound", "no such blob")

    def _send_page(self, entries: list[Any], query: dict[str, list[str]], fault: Fault) -> None:
        """A part of a listing, and where the next one is."""
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.hub.page
        path = f"{self.hub.url}{urlsplit(self.path).path}"
        link = {"Link": f'<{path}?cursor={end}>; rel="next"'} if end < len(entries) else {}
        body = json.dumps(entries[start:end]).encode()
        self._send(200, body, {"Content-Type": "application/json", **link}, fault)

    def _send_json(self, answer: object, fault: Fault) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, fault)

    def _refuse(
        self, status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        reason = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._send(status, json.dumps({"error": message}).encode(), {**reason, **(headers or {})})

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, fault or Fault(""))

    def _send_body(self, body: bytes, fault: Fault) -> None:
        if fault.corrupt:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        if fault.truncate is not None:
            body, self.close_connection = body[: fault.truncate], True
        hung_up = self.hub.hung_up
        step = 64 if fault.drip else max(len(body), 1)
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if hung_up.wait(fault.drip):
                self.close_connection = True
                return
        if fault.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())


def git_sha1(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _tree(repository: Repository) -> list[dict[str, object]]:
    """A recursive listing, folders left out."""
    entries = []
    for name, body in sorted(repository.files.items()):
        entry = {"type": "file", "path": name, "oid": git_sha1(body), "size": len(body)}
        large = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
        entries.append(entry | ({"lfs": large} if name.endswith(LARGE) else {}))
    return entries
