"""Why the Hub's client failed, in one line that ends with a remedy.

The topmost error often says only "check your connection", even of a repository that was taken down,
so the whole chain is read; by name, as the classes come from four libraries.
"""

import errno
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pipeline.hub.revision import Revision, cache_folder


class CorruptError(Exception):
    """A file that arrived with another digest than the announced one, and was removed from the
    cache. The message gives both digests, and the number of tries."""


class StalledError(Exception):
    """A request that made no headway. The message is how long it was waited for."""


_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
_BAD_TOKEN = "the token is invalid or expired; run `hf auth login` again or unset HF_TOKEN"  # noqa: S105
NO_HUB = "{host} does not answer like a Hub; check HF_ENDPOINT, proxy and firewall"

# Class, HTTP status where it matters, reason; the first that fits.
_REASONS: tuple[tuple[str, int | None, str], ...] = (
    ("DisabledRepoError", None, "the Hub has taken the repository down; choose another"),
    ("RevisionNotFoundError", None, "no such revision; pin one of {page}/commits/main"),
    ("RemoteEntryNotFoundError", None, "that revision has no {name}; name a file of {tree}"),
    ("GatedRepoError", 401, f"it is gated; accept its licence at {{page}}, then {_LOG_IN}"),
    (
        "GatedRepoError",
        None,
        "it is gated, and the token's account has no access; accept its licence at {page} with "
        "that account (a fine-grained token must allow gated repositories)",
    ),
    ("RepositoryNotFoundError", None, f"no such repository, or private; check its name, {_LOG_IN}"),
    ("HFValidationError", None, "that is no repository's name; write it as owner/name"),
    ("HfHubHTTPError", 401, _BAD_TOKEN),
    ("HfHubHTTPError", 403, f"the Hub forbids it (HTTP 403); {_LOG_IN} with one that may read it"),
    ("HfHubHTTPError", 429, "the Hub limits our rate (HTTP 429); wait some minutes, or log in"),
    ("HfHubHTTPError", None, "the Hub answers with HTTP {code}; try again later"),
    (
        "OfflineModeIsEnabled",
        None,
        "{name} is not in the cache, and HF_HUB_OFFLINE is set; unset it for once",
    ),
    ("FileMetadataError", None, NO_HUB),
    ("JSONDecodeError", None, NO_HUB),
    ("LocalProtocolError", None, _BAD_TOKEN),
    ("UnicodeEncodeError", None, _BAD_TOKEN),
)

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

# Errors in the middle of a body, after which the client resumes by itself.
_RESUMED = {"ConnectError", "TimeoutException", "RemoteProtocolError"}


def reason_of(error: BaseException, source: Revision, name: str) -> str:
    """What is wrong with `name` and what to do. Messages of the chain are not quoted: they may hold
    tokens and signed addresses."""
    chain = _chain(error)
    if isinstance(error, CorruptError):
        return (
            f"{name} arrives corrupt {error}; the bad copy was removed: try "
            "again later, or over another network"
        )
    return (
        _said_by_hub(chain, source, name)
        or _said_by_disk(chain)
        or _said_by_network(chain)
        or f"the client failed with {type(error).__name__}; try again, with HF_HUB_DISABLE_XET=1 "
        f"where {host()} alone can be reached"
    )


def _said_by_hub(chain: Sequence[BaseException], source: Revision, name: str) -> str | None:
    """A reason where the Hub, or whatever answers in its place, gave one."""
    classes, response = _classes(chain), _response(chain)
    status = response.status_code if response is not None else 0
    said = response.headers.get("X-Error-Message", "").lower() if response is not None else ""
    if status == 401 and ("credentials" in said or "expired" in said):
        return _BAD_TOKEN
    for known, its_status, reason in _REASONS:
        if known in classes and its_status in (None, status):
            tree = f"{source.page}/tree/{source.revision}"
            return reason.format(name=name, page=source.page, tree=tree, host=host(), code=status)
    return None


def _said_by_disk(chain: Sequence[BaseException]) -> str | None:
    for link in chain:
        if not isinstance(link, OSError):
            continue
        if link.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                f"the disk of {cache_folder()} is full; free some, or move the cache with HF_HOME"
            )
        if link.errno in _NOT_WRITABLE and link.filename:
            return f"{cache_folder()} cannot be written; set HF_HOME to a folder that can"
    return None


def _said_by_network(chain: Sequence[BaseException]) -> str | None:
    if isinstance(chain[0], StalledError):
        return (
            f"{host()} sent next to nothing for {chain[0]}; try again later, or over another "
            "network"
        )
    if _is_network(chain) or _is_cut_short(chain[0]):
        return f"no lasting connection to {host()}; check the network, proxy and HF_ENDPOINT"
    return None


def given_up_at_once(error: BaseException) -> bool:
    """Whether a failure to fetch a file may pass, and the client has not tried again by itself."""
    chain = _chain(error)
    classes, response = _classes(chain), _response(chain)
    tried_by_client = (
        "LocalEntryNotFoundError" in classes  # while it looked for the file
        or (response is not None and response.status_code in (408, 429))
        or (_method(chain) == "GET" and bool(classes & _RESUMED))
    )
    return _may_pass(error) and not tried_by_client


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later, with nothing changed here."""
    chain = _chain(error)
    response = _response(chain)
    if response is not None:
        return bool(response.status_code in (408, 429) or response.status_code >= 500)
    if isinstance(error, CorruptError | FileNotFoundError):
        return True  # not found: removed by another run, which took it for corrupt or abandoned
    return _is_network(chain) or _is_cut_short(error)


def _chain(error: BaseException) -> list[BaseException]:
    """An error and all that led to it, each once, nearest first."""
    found: list[BaseException] = []
    ahead: list[BaseException | None] = [error]
    while ahead:
        link = ahead.pop(0)
        if link is not None and link not in found:
            found.append(link)
            ahead += [link.__cause__, link.__context__]
    return found


def _classes(chain: Sequence[BaseException]) -> set[str]:
    return {base.__name__ for link in chain for base in type(link).__mro__}


def _response(chain: Sequence[BaseException]) -> Any:
    """The Hub's answer of refusal, if it gave one."""
    answers = (getattr(link, "response", None) for link in chain)
    return next((answer for answer in answers if answer is not None), None)


def _method(chain: Sequence[BaseException]) -> str:
    """The method of the request that failed."""
    for link in chain:
        with suppress(AttributeError, RuntimeError):  # httpx raises where no request is known
            return str(link.request.method)  # type: ignore[attr-defined]
    return ""


def _is_network(chain: Sequence[BaseException]) -> bool:
    classes = _classes(chain)
    no_request = {"OfflineModeIsEnabled", "LocalProtocolError"}
    return bool(classes & {"RequestError", "ConnectionError", "TimeoutError"}) and not (
        classes & no_request
    )


def _is_cut_short(error: BaseException) -> bool:
    """Whether a body had another size than announced. The client raises a plain OSError then,
    without an error number."""
    return type(error) is OSError and error.errno is None


def host() -> str:
    """The Hub's host alone: its address may hold a password."""
    from huggingface_hub import constants

    return urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2] or "HF_ENDPOINT"
