"""What becomes the base model, and what is refused: in one line, before anything is written."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlamaForSequenceClassification, PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.models import external_base
from pipeline.models.building import prepare
from pipeline.models.external_base import adopt
from pipeline.models.loading import card_of, load_base
from tests.support.model_folders import Change, edit_config, edit_weights


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def canary(folder: Path) -> None:
    """Code that a loader would have to run."""
    (folder / "evil.py").write_text(
        f"open({str(folder / 'CANARY')!r}, 'w')\nfrom transformers import LlamaConfig as C\n",
        encoding="utf-8",
    )
    edit_config(model_type="evil", auto_map={"AutoConfig": "evil.C"})(folder)


def shallow(folder: Path) -> None:
    edit_config(num_hidden_layers=1)(folder)
    edit_weights(lambda weights: {n: w for n, w in weights.items() if "layers.1" not in n})(folder)


def under(prefix: str) -> Change:
    """Names as a wrapper of the model saves them."""
    return edit_weights(lambda weights: {prefix + name: w for name, w in weights.items()})


BAD_FOLDERS = {
    "no folder": (shutil.rmtree, "is no folder"),
    "an adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "holds an adapter"),
    "pickled weights": (pickled, "no safetensors weights"),
    "its own code": (canary, "without running its publisher's code"),
    "no tokenizer": (lambda f: [p.unlink() for p in f.glob("token*")], "cannot be read"),
    "a damaged header": (
        lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 64), "damaged",
    ),
    "a damaged config": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "an index that leads out": (
        lambda f: (f / "model.safetensors.index.json").write_text(
            '{"weight_map": {"a": "../x.safetensors"}}'
        ),
        "names '../x.safetensors'",
    ),
    "another kind of model": (edit_config(model_type="t5"), "is a t5"),
    "too few layers": (shallow, "beyond the model's last layer 1"),
    "too short a context": (
        edit_config(max_position_embeddings=9), "more than the model's context 9",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_bad_folders_are_one_line_and_write_nothing(
    tmp_path: Path, wanted: Params, mine: Path, change: Change, message: str
) -> None:
    change(mine)
    with pytest.raises(InputError) as refused:
        adopt(tmp_path / "base", wanted)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "base").exists()
    assert not card_of(tmp_path / "base").exists()
    assert not (mine / "CANARY").exists()


UP, EMBEDDINGS = "model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"
BAD_WEIGHTS: dict[str, tuple[Change, str]] = {
    "one is missing": (
        edit_weights(lambda w: {name: w[name] for name in w.keys() - {UP}}), f"lack {UP};",
    ),
    "one too many": (
        edit_weights(lambda w: w | {"extra": torch.zeros(2)}),
        "hold extra, which is none of its tensors",
    ),
    "saved compiled": (
        under("_orig_mod."), f"lack lm_head.weight and hold _orig_mod.{EMBEDDINGS}, which is none",
    ),
    "saved in parallel": (under("module."), f"hold module.{EMBEDDINGS}, which is none"),
    "transposed": (
        edit_weights(lambda w: w | {UP: w[UP].T.contiguous()}),
        f"hold {UP} of shape [16, 32] where it has [32, 16]",
    ),
    "of another vocabulary": (
        edit_config(vocab_size=500), f"hold {EMBEDDINGS} of shape [400, 16] where it has [500, 16]",
    ),
    "of fewer layers": (edit_config(num_hidden_layers=3), "lack model.layers.2."),
    "of more layers": (edit_config(num_hidden_layers=1), "hold model.layers.1."),
    "without the head that its config has": (
        edit_config(tie_word_embeddings=False), "lack lm_head.weight;",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_faults_weights_that_do_not_cover_the_model_are_refused_by_their_first_tensor(
    tmp_path: Path, wanted: Params, mine: Path, change: Change, message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A library would draw what is missing at random, anew in every stage."""
    prepare(wanted.runtime)
    change(mine)
    capfd.readouterr()
    with pytest.raises(InputError, match=r"is no LlamaForCausalLM as its config .*; save") as said:
        adopt(tmp_path / "base", wanted)
    assert message in str(said.value)
    assert capfd.readouterr() == ("", ""), "nor does the library print a table"
    assert not (tmp_path / "base").exists()


def test_faults_a_reward_model_is_refused(
    tmp_path: Path, wanted: Params, mine: Path, model: PreTrainedModel
) -> None:
    model.config.tie_word_embeddings = False
    LlamaForSequenceClassification(model.config).save_pretrained(mine)
    with pytest.raises(InputError, match=r"lack lm_head\.weight and hold score\.weight"):
        adopt(tmp_path / "base", wanted)


def test_weights_saved_without_a_head_cover_a_model_whose_embeddings_are_its_head(
    tmp_path: Path, wanted: Params, mine: Path, model: PreTrainedModel
) -> None:
    model.get_decoder().save_pretrained(mine)
    adopt(tmp_path / "base", wanted)
    loaded, _ = load_base(tmp_path / "base", torch.device("cpu"))
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_want_of_memory_is_no_fault_of_a_model(
    tmp_path: Path, wanted: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(external_base.AutoTokenizer, "from_pretrained", too_large)
    with pytest.raises(MemoryError):
        adopt(tmp_path / "base", wanted)
