"""GGUF files, llama.cpp's: dequantised once into a folder as save_pretrained writes it.

The folders lie in a cache beside the Hub's, each named by the digest of its file and by the library
that read it. So a file of many quantised formats is read once, and then as any other model is.
"""

import errno
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.core.console import InputError, is_out_of_memory, one_line
from pipeline.core.files import Tree, read_json, remove, sha256_of, whole, write_json
from pipeline.hub.packages import free_bytes, no_room
from pipeline.models.loading import folder_of
from pipeline.models.weights import first_misfit

MAGIC = b"GGUF"
RECORD = "gguf.json"  # beside the converted files: their digests, and how they were quantised
BYTES = 4  # of a weight in float32


@dataclass(frozen=True)
class Converted:
    """A folder with the converted model; its files, each with digest and size; the number of the
    GGUF file's tensors in each quantised format, as text."""

    folder: Path
    files: Mapping[str, tuple[str, int]]
    quantisation: str


def converted(sha256: str, origin: str, fetch: Callable[[Path], None]) -> Converted:
    """The converted model of the GGUF file with this digest, from the cache or made now.

    fetch: writes the file to a path; only called where the cache lacks a sound model. origin: what
    a message calls the file. Raises InputError, one line, for a file that is no GGUF, is damaged or
    of an architecture that transformers does not read, and for a disk without room.
    """
    folder = folder_of(sha256)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        found = _sound(folder)
        if found is None:
            remove(folder)
            file = folder.with_name(f"{folder.name}.gguf")
            try:
                fetch(file)
                _convert(file, folder, origin)
            finally:
                file.unlink(missing_ok=True)
            found = _sound(folder)
            assert found
    return found


def copied(source: Path) -> Callable[[Path], None]:
    """For `converted`: the file of a user, which stays where it is."""

    def link(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(source.resolve())

    return link


def _sound(folder: Path) -> Converted | None:
    """What lies in the cache, where it is whole and every digest is the recorded one."""
    if not (folder / RECORD).is_file():
        return None
    record = read_json(folder / RECORD)
    files = {name: (file["sha256"], file["size"]) for name, file in record["files"].items()}
    for name, (digest, _) in files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != digest:
            return None
    return Converted(folder, files, record["quantisation"])


def _convert(file: Path, folder: Path, origin: str) -> None:
    formats, weights = _tensors(file, origin)
    if (needed := BYTES * weights) > free_bytes(folder.parent):
        raise no_room(folder.parent, needed)
    try:
        with whole(folder) as draft:
            _save(file, draft, origin)
            files: dict[str, Tree] = {
                path.name: {"sha256": sha256_of(path), "size": path.stat().st_size}
                for path in sorted(draft.iterdir())
            }
            write_json(draft / RECORD, {"files": files, "quantisation": formats})
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_room(folder.parent) from None


def _tensors(file: Path, origin: str) -> tuple[str, int]:
    """The formats of a file's tensors, as text, and the number of its weights."""
    from gguf import GGUFReader

    with file.open("rb") as start:
        if start.read(len(MAGIC)) != MAGIC:
            raise InputError(f"{origin} is no GGUF file; name one")
    try:
        tensors = GGUFReader(file).tensors
        counted = Counter(tensor.tensor_type.name for tensor in tensors).most_common()
        weights = sum(int(tensor.n_elements) for tensor in tensors)
    except Exception as error:  # whatever a damaged header makes of the reader and of NumPy
        raise _unreadable(origin, error) from None
    return ", ".join(f"{count} {name}" for name, count in counted), weights


def _save(file: Path, draft: Path, origin: str) -> None:
    """Read a file with transformers, which dequantises it to float32, and save what it read."""
    names: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **names)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent, dtype=torch.float32, output_loading_info=True, **names
        )
    except Exception as error:  # whatever a file makes of three libraries
        if is_out_of_memory(error):
            raise
        raise _unreadable(origin, error) from None
    model, report = loaded
    if problem := first_misfit(report):  # it would be drawn at random
        raise InputError(f"{origin} is no whole model: its weights {problem}; choose another")
    # The weights are plain by now, and a quantiser would refuse to save them.
    model.hf_quantizer = None
    vars(model.config).pop("quantization_config", None)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)


def _unreadable(origin: str, error: Exception) -> InputError:
    return InputError(
        f"{origin} is damaged, or of a kind that transformers {transformers.__version__} does not "
        f"read ({one_line(error)}); choose another model"
    )
