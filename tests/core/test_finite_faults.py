"""No file holds a number that is not finite: it is refused by text and layer."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from pipeline.core.console import InputError
from pipeline.core.finite import check_states
from pipeline.core.records import Likelihood, read_records, write_records
from pipeline.core.representations import RepresentationsFile, load_representations
from pipeline.monitors.answer_states import AnswerStates, load_streams, save_streams
from pipeline.monitors.saved import SavedMonitor, save_monitor

NOT_FINITE = (np.nan, np.inf, -np.inf)
LAYERS, TEXTS = (4, 0, 2), ("a", "b", "c")


@given(
    st.sets(st.tuples(*(st.integers(0, most) for most in (2, 1, 2, 3))), min_size=1, max_size=6),
    st.sampled_from(NOT_FINITE),
)
def test_the_first_text_and_its_lowest_layer_are_named(
    damage: set[tuple[int, int, int, int]], value: float
) -> None:
    values = np.ones((3, 2, 3, 4), np.float32)
    check_states(values, LAYERS, TEXTS)
    for index in damage:
        values[index] = value
    text = min(index[2] for index in damage)
    layer = min(LAYERS[index[0]] for index in damage if index[2] == text)
    with pytest.raises(InputError, match=f"text {TEXTS[text]}: its states at layer {layer} are"):
        check_states(values, LAYERS, TEXTS)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_representations_are_neither_written_nor_read(tmp_path: Path, value: float) -> None:
    file = RepresentationsFile(tmp_path / "x", (0, 2), ("last",), TEXTS, TEXTS, TEXTS, width=4)
    file.make()
    values = np.ones((2, 1, 2, 4), np.float32)
    file.put((0, 2), values)
    written = file.path.read_bytes()
    values[1, 0, 1, 3] = value
    with pytest.raises(InputError, match="text c: its states at layer 2"):
        file.put((0, 2), values)
    assert file.path.read_bytes() == written
    file.path.write_bytes(written[:-4] + np.float32(value).tobytes())
    with pytest.raises(InputError, match="x: text c: its states at layer 2"):
        load_representations(file.path)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_records_are_neither_written_nor_read(tmp_path: Path, value: float) -> None:
    path = tmp_path / "likelihoods.jsonl"
    write_records(path, [Likelihood("d1", 3, 1.5, 0.0)])
    before = path.read_text()
    with pytest.raises(InputError, match="Likelihood of d2: the numbers of its kl are not finite"):
        write_records(path, [Likelihood("d1", 3, 1.5, 0.0), Likelihood("d2", 3, 1.5, value)])
    assert path.read_text() == before
    path.write_text(json.dumps(json.loads(before) | {"kl": value}) + "\n")
    with pytest.raises(InputError, match="line 1 is no Likelihood"):
        read_records(path, Likelihood)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_running_answers_are_neither_written_nor_read(tmp_path: Path, value: float) -> None:
    path, states = tmp_path / "streams", {p: np.ones((5, 2), np.float32) for p in ("last", "mean")}
    whole = AnswerStates(3, states, ("q1", "q2"), (0, 0), (2, 3), np.ones(2, np.float32))
    save_streams(path, whole)
    assert load_streams(path).ids == whole.ids
    states["mean"][2, 1] = value
    with pytest.raises(InputError, match="text q2: its states at layer 3"):
        save_streams(path, replace(whole, states=states))
    described = {"streams": json.dumps({"ids": whole.ids, "layer": 3, "lengths": whole.lengths,
                                        "samples": whole.samples})}  # fmt: skip
    save_file({**states, "signature": whole.signature}, path, metadata=described)
    with pytest.raises(InputError, match="streams: text q2: its states at layer 3"):
        load_streams(path)


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("tensor", ["centre", "weights", "bias", "signature"])
def test_a_saved_monitor_has_finite_numbers(tmp_path: Path, tensor: str, value: float) -> None:
    shapes = {"centre": 2, "weights": (2, 2), "bias": 2, "signature": 2}
    numbers = {name: np.ones(shape) for name, shape in shapes.items()}
    numbers[tensor].flat[1] = value
    names = ("harmful", "safe")
    monitor = SavedMonitor("logistic", "base", names, ("safe",), 1, "last", 0.5, {}, **numbers)
    with pytest.raises(InputError, match="not finite"):
        save_monitor(tmp_path, "last", monitor)
    assert not any(tmp_path.iterdir())
