"""A model is its config, tokenizer and safetensors: nothing else is fetched, and nothing is run."""

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pipeline.core.console import InputError
from pipeline.hub import models
from pipeline.hub.models import fetch_model
from tests.support.hub_bench import MODEL, PLAIN, Bench, assert_sound, tensors


class Canary:
    """Unpickled, it writes CANARY into the working directory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('CANARY', 'w').close()",)


CODE = b"open('CANARY', 'w').close()\n"


# What a repository may hold besides, and nobody asked for.
BALLAST = {
    "README.md": b"read me",
    "modeling_tiny.py": CODE,
    "pytorch_model.bin": pickle.dumps(Canary()),
    "training_args.bin": pickle.dumps(Canary()),
    "adapter_config.json": b'{"base_model_name_or_path": "acme/other"}',
    "adapter_model.safetensors": tensors(7),
    "consolidated.safetensors": tensors(8),
    "model.fp16.safetensors": tensors(9),
    "original/model.safetensors": tensors(10),
    "onnx/config.json": b"{}",
    "../../CANARY.json": b"evil",
    "/tmp/CANARY.json": b"evil",  # noqa: S108
    "..\\CANARY.json": b"evil",
}
SHARDS = {f"model-0000{n}-of-00002.safetensors": tensors(n) for n in (1, 2)}
INDEX = "model.safetensors.index.json"


def index_of(*shards: str) -> dict[str, bytes]:
    names = {f"weight{n}": shard for n, shard in enumerate(shards, 1)}
    return {INDEX: json.dumps({"weight_map": names}).encode()}


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: body for name, body in files.items() if name not in names}


SHARDED = without(PLAIN, "model.safetensors") | SHARDS | index_of(*SHARDS)


@pytest.mark.parametrize("wanted", [PLAIN, SHARDED], ids=["one file", "shards"])
def test_a_model_is_its_config_tokenizer_and_safetensors(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, bytes]
) -> None:
    (tmp_path / MODEL).mkdir(parents=True)
    (tmp_path / MODEL / "config.json").write_bytes(b"evil")
    monkeypatch.chdir(tmp_path)
    commit = bench.hub.add("model", MODEL, wanted | BALLAST)
    folder, files = fetch_model(MODEL, commit)
    assert files.keys() == wanted.keys()
    assert {path.name for path in folder.iterdir()} == wanted.keys()
    assert_sound(files, wanted)
    assert bench.hub.requests("HEAD") == len(wanted)
    assert not list(tmp_path.rglob("*CANARY*"))
    before = len(bench.hub.seen)
    assert fetch_model(MODEL, commit) == (folder, files)
    bench.go_offline()
    assert fetch_model(MODEL, commit) == (folder, files)
    assert len(bench.hub.seen) == before


def test_weights_that_are_kept_twice_are_fetched_once(bench: Bench) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN | SHARDED)
    assert fetch_model(MODEL, commit)[1].keys() == PLAIN.keys()


HEADLESS = {
    "oversized": (10**12).to_bytes(8, "little") + b"{}",
    "beyond the file": (1000).to_bytes(8, "little") + b"{}",
    "no JSON": (4).to_bytes(8, "little") + b"\x1b[2J",
    "empty": b"",
    "cut short": tensors(0)[:-8],
}
NO_MODELS: dict[str, tuple[dict[str, bytes], str]] = {
    "pickled": (
        without(PLAIN, "model.safetensors") | {"pytorch_model.bin": pickle.dumps(Canary())},
        "lacks config.json or safetensors weights",
    ),
    "an adapter": (
        {name: BALLAST[name] for name in ("adapter_config.json", "adapter_model.safetensors")},
        "lacks config.json or safetensors weights",
    ),
    "weights of another layout": (
        without(PLAIN, "model.safetensors") | {"consolidated.safetensors": tensors(1)},
        "lacks config.json or safetensors weights",
    ),
    "no config": (without(PLAIN, "config.json"), "lacks config.json"),
    "shards without an index": (without(SHARDED, INDEX), "lacks config.json or safetensors"),
    "an index without shards": (without(SHARDED, *SHARDS), "lacks config.json or safetensors"),
    "an index that leads out": (
        SHARDED | index_of(*SHARDS, "../../../secret.safetensors"),
        "names '../../../secret.safetensors', which is none of its shards",
    ),
    "a shard that is missing": (without(SHARDED, [*SHARDS][1]), "none of its shards"),
    "an index of nothing": (SHARDED | {INDEX: b"[]"}, "is no index of weights"),
    "an index that is no JSON": (SHARDED | {INDEX: b"\xff"}, "is no index of weights"),
    "an index without bottom": (SHARDED | {INDEX: b"[" * 100_000}, "is no index of weights"),
    **{
        f"header: {name}": (PLAIN | {"model.safetensors": body}, "no sound safetensors header")
        for name, body in HEADLESS.items()
    },
}


@pytest.mark.parametrize(("files", "message"), NO_MODELS.values(), ids=NO_MODELS)
def test_what_is_no_model_is_one_line(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    commit = bench.hub.add("model", MODEL, files)
    with pytest.raises(InputError, match=message) as refused:
        fetch_model(MODEL, commit)
    line = str(refused.value)
    assert line.startswith(f"cannot fetch model {MODEL}@{commit[:12]}: ")
    assert line.endswith("; choose another model, or set model.source: embedded")
    assert line.isprintable()
    assert bench.hub.requests(r"resolve/.*(\.bin|\.py|adapter_|consolidated)") == 0
    assert not list(tmp_path.rglob("*CANARY*"))


def test_what_was_fetched_loads_without_code_or_another_repository(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    names = {"AutoConfig": "modeling_tiny.Tiny", "AutoModelForCausalLM": "modeling_tiny.Tiny"}
    remote = json.loads(files["config.json"]) | {"auto_map": names}
    files["config.json"] = json.dumps(remote).encode()
    folder, _ = fetch_model(MODEL, bench.hub.add("model", MODEL, files | BALLAST))
    before = len(bench.hub.seen)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert len(bench.hub.seen) == before
    assert not list(tmp_path.rglob("*CANARY*"))


def test_a_model_that_does_not_fit_is_not_begun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN)
    needed = sum(map(len, PLAIN.values()))

    def free(amount: int) -> None:
        usage = SimpleNamespace(free=amount)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    free(needed - 1)
    with pytest.raises(InputError, match=r"needs 0\.0 GB, and .* has 0\.0 GB free; free some"):
        fetch_model(MODEL, commit)
    assert bench.hub.requests("resolve") == 0
    free(needed)
    files = fetch_model(MODEL, commit)
    free(0)
    assert fetch_model(MODEL, commit) == files, "what is cached needs no room"


def test_an_unfinished_model_is_not_taken_for_whole_offline(bench: Bench) -> None:
    commit = bench.hub.add("model", MODEL, SHARDED)
    bench.hub.fail("HEAD .*model-00002", status=403)
    with pytest.raises(InputError, match="HTTP 403"):
        fetch_model(MODEL, commit)
    bench.hub.heal()
    with pytest.MonkeyPatch.context() as bench.patch:
        bench.go_offline()
        with pytest.raises(InputError, match=r"model-00002-of-00002\.safetensors is not in the"):
            fetch_model(MODEL, commit)
    assert_sound(fetch_model(MODEL, commit)[1], SHARDED)


@pytest.mark.parametrize("files", [PLAIN, SHARDED], ids=["one file", "shards"])
def test_what_another_program_cached_serves_offline(bench: Bench, files: dict[str, bytes]) -> None:
    commit = bench.hub.add("model", MODEL, files)
    fetched = fetch_model(MODEL, commit)
    shutil.rmtree(bench.files("listings/*")[0].parent)
    bench.go_offline()
    assert fetch_model(MODEL, commit) == fetched
    weights = [name for name in files if name.endswith(".safetensors")]
    (fetched[0] / weights[-1]).unlink()
    with pytest.raises(InputError, match=r"safetensors weights|none of its shards"):
        fetch_model(MODEL, commit)


def test_a_gated_model_shows_its_list_and_nothing_else(bench: Bench) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN, gated=True)
    with pytest.raises(InputError, match=f"licence at https://huggingface.co/{MODEL}, then log in"):
        fetch_model(MODEL, commit)
    bench.log_in(bench.hub.token)
    assert_sound(fetch_model(MODEL, commit)[1], PLAIN)
    assert {seen.token for seen in bench.hub.seen if "/cdn/" in seen.line} == {None}


@pytest.mark.parametrize("name", [*PLAIN, *SHARDED])
def test_config_tokenizer_and_safetensors_are_safe(name: str) -> None:
    assert models.is_safe(name)


@pytest.mark.parametrize("name", BALLAST)
def test_all_else_in_a_repository_is_unsafe(name: str) -> None:
    assert not models.is_safe(name)
