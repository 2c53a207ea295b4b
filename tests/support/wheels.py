"""A tiny model as llama.cpp keeps one, and a folder of wheels that pip takes for an index."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from pipeline.core.files import sha256_of
from pipeline.core.sections import PackageModel, WheelPart

WIDTH, FEED_FORWARD, HEADS, LAYERS, CONTEXT = 32, 64, 2, 2, 256
TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def write_gguf(
    path: Path,
    tokenizer: PreTrainedTokenizerBase,
    architecture: str = "llama",
    quantised: bool = True,
    without: str = "",
) -> dict[str, NDArray[np.float32]]:
    """Write a random Llama, its matrices in 8 bits (Q8_0) if quantised, and without one tensor.

    Returns its weights by the names that llama.cpp gives them, as a reader must find them.
    """
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(vocabulary))
    writer.add_token_merges(_merges(tokenizer))
    writer.add_bos_token_id(tokenizer.eos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(TEMPLATE)
    kept = {}
    for name, shape in _shapes(len(vocabulary)).items():
        if name == without:
            continue
        weight = rng.standard_normal(shape).astype(np.float32) * 0.1
        if quantised and weight.ndim == 2:
            packed = gguf.quantize(weight, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            weight = gguf.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, weight)
        kept[name] = weight
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept


def _merges(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    import json

    backend = json.loads(tokenizer.backend_tokenizer.to_str())  # type: ignore[attr-defined]
    return [" ".join(pair) for pair in backend["model"]["merges"]]


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for block in range(LAYERS):
        own: dict[str, tuple[int, ...]] = {
            "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,),
            "attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH),
            "attn_output": (WIDTH, WIDTH), "ffn_gate": (FEED_FORWARD, WIDTH),
            "ffn_up": (FEED_FORWARD, WIDTH), "ffn_down": (WIDTH, FEED_FORWARD),
        }  # fmt: skip
        shapes |= {f"blk.{block}.{name}.weight": shape for name, shape in own.items()}
    return shapes


class Index:
    """A folder of wheels. Within a test, pip knows no other place."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.delenv("PIP_CONSTRAINT", raising=False)

    def add(self, name: str, version: str, members: Mapping[str, bytes]) -> Path:
        """A wheel with these members; its own code would leave a file CANARY if it ever ran."""
        module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
        wheel = self.folder / f"{module}-{version}-py3-none-any.whl"
        files = {
            f"{module}/__init__.py": b"open('CANARY', 'w').close()\n",
            **members,
            f"{info}/METADATA": (
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                "Requires-Dist: a-package-that-is-nowhere\n"
            ).encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        with ZipFile(wheel, "w", ZIP_DEFLATED) as archive:
            for member, body in files.items():
                archive.writestr(member, body)
        return wheel

    def part(self, wheel: Path, member: str) -> WheelPart:
        name, version = wheel.name.split("-")[:2]
        return WheelPart(
            package=name.replace("_", "-"), version=version, sha256=sha256_of(wheel), member=member
        )

    def model(self, file: Path, cut: int = 0) -> PackageModel:
        """Wheels that hold a file, in one part, or cut into two after so many bytes."""
        body = file.read_bytes()
        bodies = [body[:cut], body[cut:]] if cut else [body]
        parts = []
        for number, part in enumerate(bodies):
            member = f"tiny_{number}/tiny.gguf.part{number}"
            parts.append(self.part(self.add(f"tiny-{number}", "1.0.0", {member: part}), member))
        return PackageModel(parts=tuple(parts), sha256=sha256_of(file))
