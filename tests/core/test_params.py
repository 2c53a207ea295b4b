"""params.yaml is read as DVC writes it, and refused in one line where it cannot be run."""

import copy
import re
from pathlib import Path

import pytest

from pipeline.core.console import InputError
from pipeline.core.params import Params, base_first, find_variant, load_params
from pipeline.core.sections import Runtime
from pipeline.models.building import prepare
from tests.support.bad_input import BAD_PARAMS, Change
from tests.support.dag import ROOT
from tests.support.tiny import plain, tiny_tree, write_params


def test_the_committed_params_are_whole() -> None:
    params = load_params(ROOT / "params.yaml")
    assert set(params.variants) >= {
        "base", "infonce", "nt_xent", "supcon", "true_negatives", "sft", "sft_contrast", "shuffled",
    }  # fmt: skip
    with pytest.raises(Exception, match="frozen"):
        params.finetune.learning_rate = 1.0


@pytest.mark.parametrize("written", ["1e-05", "1.0e-5", "0.00001", "1e-5"])
def test_numbers_as_dvc_writes_them(tmp_path: Path, written: str) -> None:
    """`-S finetune.learning_rate=1e-5` writes 1e-05, which YAML 1.1 reads as a word."""
    write_params(tmp_path / "params.yaml", tiny_tree())
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(finetune:(?:.|\n)*?learning_rate: )\S+", rf"\g<1>{written}", text, count=1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert load_params(tmp_path / "params.yaml").finetune.learning_rate == 1e-5


@pytest.mark.parametrize(("change", "message"), BAD_PARAMS.values(), ids=BAD_PARAMS)
def test_mistakes_are_one_line(tmp_path: Path, change: Change, message: str) -> None:
    tree = tiny_tree()
    change(tree)
    write_params(tmp_path / "params.yaml", tree)
    with pytest.raises(InputError) as refused:
        load_params(tmp_path / "params.yaml")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; run from the project's root"),
        (b"", "holds no sections"),
        (b"- a\n- b\n", "holds no sections"),
        (b"seed: [1\n", "is not valid YAML"),
        (b"seed: caf\xe9\n", "is not UTF-8 at byte 9"),
    ],
)
def test_files_that_are_no_params(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        load_params(path)


@pytest.mark.parametrize("name", ["../x", "a b", "A", "a/b", "", "$(x)"])
def test_a_variants_name_is_a_name(name: str) -> None:
    """It becomes part of paths and of a stage's name."""
    tree = plain(tiny_tree())
    tree["variants"][name] = copy.deepcopy(tree["variants"]["base"])
    with pytest.raises(ValueError, match="should match pattern"):
        Params.model_validate(tree)


def test_an_unknown_variant_is_named_with_the_known(params: Params) -> None:
    with pytest.raises(InputError, match="no variant 'nobody'; known: base, sft_contrast"):
        find_variant(params.variants, "nobody")


def test_the_untouched_model_comes_first_wherever_it_stands() -> None:
    """Others are held against it; they stay in their order, and each comes once."""
    assert base_first(["supcon", "base", "a"]) == ["base", "supcon", "a"]
    assert base_first({"base": 0, "a": 1}) == ["base", "a"]


@pytest.mark.parametrize("device", ["abacus", "cuda:x", "cpu; rm"])
def test_devices_are_a_closed_list(params: Params, device: str) -> None:
    with pytest.raises(ValueError, match="device"):
        Runtime.model_validate(params.runtime.model_dump() | {"device": device})


def test_a_device_that_is_not_here_is_one_line(params: Params) -> None:
    with pytest.raises(InputError, match=r"runtime\.device is cuda:99, which torch does not find"):
        prepare(params.runtime.model_copy(update={"device": "cuda:99"}))
