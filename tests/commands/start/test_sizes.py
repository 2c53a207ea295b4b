"""How large a model is, from whatever is known of it before it is adopted."""

import json
from pathlib import Path

import pytest

from commands.start.fitting import ModelSize
from commands.start.sizes import machine_of, size_of
from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.sections import Model
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder
from tests.support.wheels import LAYERS, WIDTH, write_gguf


def of_path(params: Params, location: Path) -> Model:
    path = params.model.path.model_copy(update={"location": str(location)})
    return params.model.model_copy(update={"source": "path", "path": path})


def test_the_embedded_model_has_about_the_weights_that_it_is_said_to_have(
    params: Params, encoder: Encoder
) -> None:
    found = size_of(params.model, 0)
    weights = sum(
        w.numel() for w in new_model(params.model.embedded, encoder.tokenizer).parameters()
    )
    assert found.weights == pytest.approx(weights, rel=0.05)
    assert found.blocks == params.model.embedded.layers


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 3, "hidden_size": 8, "max_position_embeddings": 99},
        {"n_layer": 3, "n_embd": 8, "n_positions": 99},
        {"text_config": {"num_hidden_layers": 3, "hidden_size": 8, "max_position_embeddings": 99}},
    ],
)
@pytest.mark.parametrize(("dtype", "weights"), [("float32", 100), ("bfloat16", 200)])
def test_a_folder_is_as_its_configuration_and_its_weights_say(
    tmp_path: Path, params: Params, config: dict[str, object], dtype: str, weights: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config | {"torch_dtype": dtype}))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 400)
    assert size_of(of_path(params, tmp_path), 0) == ModelSize(3, 8, weights, 99)


def test_a_folder_without_a_configuration_is_one_line(tmp_path: Path, params: Params) -> None:
    with pytest.raises(InputError, match=r"holds no config\.json"):
        size_of(of_path(params, tmp_path), 0)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="configuration has no num_hidden_layers"):
        size_of(of_path(params, tmp_path), 0)


def test_a_gguf_file_says_it_itself(tmp_path: Path, params: Params, encoder: Encoder) -> None:
    tensors = write_gguf(tmp_path / "tiny.gguf", encoder.tokenizer)
    found = size_of(of_path(params, tmp_path / "tiny.gguf"), 0)
    assert (found.blocks, found.width) == (LAYERS, WIDTH)
    assert found.weights == sum(tensor.size for tensor in tensors.values())


def test_a_package_that_is_not_here_is_as_its_name_says(params: Params) -> None:
    model = params.model.model_copy(update={"source": "package"})
    found = size_of(model, 30)
    assert (found.blocks, found.weights) == (30, 135_000_000)
    assert 400 < found.width < 800


def test_this_machine_has_memory_and_speed() -> None:
    machine = machine_of("cpu")
    assert machine.memory > 1e8
    assert machine.speed > 1e8
    assert machine.cores >= 1
    with pytest.raises(InputError, match="torch finds no device cuda:99 here"):
        machine_of("cuda:99")
