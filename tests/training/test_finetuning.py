"""The finetune trains what its variant says, from the seed alone, and moves nothing at 0 steps.

Longer than other files, as one way to train serves every law here.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.core.sections import Finetune, Variant
from pipeline.corpora.pairs import draw_pairs
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.lora import with_lora
from pipeline.models.peft_import import PeftModel
from pipeline.training import losses
from pipeline.training.finetune_data import FinetuneData, shown_part
from pipeline.training.finetuning import (
    CurvePoint,
    FinetuneRun,
    finetune,
    write_curve,
)
from pipeline.training.objective import Objective
from pipeline.training.terms import RIVALS

NEVER = Checkpoint(Path("nowhere"), "", every=0)
Train = Callable[..., tuple[PeftModel, list[CurvePoint]]]


@pytest.fixture
def train(
    params: Params, encoder: Encoder, examples: list[Example], documents: list[Document]
) -> Train:
    pairs = draw_pairs(examples, "given", "balanced", params.pairs, seed=0)
    every_step = params.finetune.model_copy(update={"watch_every": 1})

    def run(
        model: PreTrainedModel,
        seed: int = 0,
        finetuning: Finetune = every_step,
        repeated: int = 0,
        texts: Sequence[Example] = examples,
        checkpoint: Checkpoint = NEVER,
        watch: Callable[[Sequence[CurvePoint]], None] = lambda curve: None,
        **row: object,
    ) -> tuple[PeftModel, list[CurvePoint]]:
        variant = params.variants["sft_contrast"].model_copy(update=row)
        chosen = pairs[: params.finetune.pairs_per_step] * repeated or pairs
        data = FinetuneData({e.id: e for e in texts}, chosen, documents)
        torch.manual_seed(seed)
        adapted = with_lora(model, finetuning)
        objective = Objective(adapted, encoder, finetuning, variant, params.asking)
        return adapted, finetune(objective, data, finetuning, seed, checkpoint, watch)

    return run


def trained(adapted: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: w.detach().clone() for name, w in adapted.named_parameters() if w.requires_grad}


def test_same_seed_same_numbers_other_seed_others(
    params: Params,
    encoder: Encoder,
    train,
    model: PreTrainedModel,
) -> None:
    def fresh() -> PreTrainedModel:
        copied = type(model)(model.config)
        copied.load_state_dict(model.state_dict())
        return copied.eval()

    (one, curve), (two, again), (other, _) = (train(fresh(), seed) for seed in (0, 0, 1))
    assert curve == again
    for name, weight in trained(one).items():
        assert torch.equal(weight, trained(two)[name])
    assert any(not torch.equal(w, trained(other)[name]) for name, w in trained(one).items())


def test_base_is_untouched(train, model: PreTrainedModel, encoder: Encoder) -> None:
    ids = torch.tensor([encoder("Explain rain.", "It falls.").ids])
    with torch.no_grad():
        before = model(ids).logits
        adapted, curve = train(
            model, steps=0, contrast="none", contrast_weight=0.0, retain_weight=0.0,
            penalty_weight=0.0, response_weight=0.0,
        )  # fmt: skip
        assert curve == []
        assert torch.equal(adapted(ids).logits, before)


def test_frozen_weights_stay_frozen(train, model: PreTrainedModel) -> None:
    before = {name: w.clone() for name, w in model.named_parameters()}
    adapted, _ = train(model)
    for name, weight in adapted.named_parameters():
        original = name.removeprefix("base_model.model.").replace(".base_layer", "")
        if original in before:
            assert torch.equal(weight, before[original])


def test_contrast_falls_when_nothing_holds_it(
    train, model: PreTrainedModel, params: Params
) -> None:
    eager = params.finetune.model_copy(update={"learning_rate": 0.01, "watch_every": 1})
    _, curve = train(
        model, finetuning=eager, repeated=30, steps=30, retain_weight=0.0, penalty_weight=0.0,
        response_weight=0.0,
    )  # fmt: skip
    assert curve[-1].contrast < 0.8 * curve[0].contrast
    assert all(step.retain == step.penalty == step.response == 0 for step in curve)


RESPONSES_ALONE = {
    "contrast": "none", "contrast_weight": 0.0, "retain_weight": 0.0, "penalty_weight": 0.0,
}  # fmt: skip


def test_steps_without_a_response_learn_nothing_and_a_run_without_any_is_refused(
    train, model: PreTrainedModel, examples: list[Example]
) -> None:
    texts = [dataclasses.replace(e, safe_response="") for e in examples]
    spare = dataclasses.replace(texts[0], id="in no pair", safe_response="Yes.")
    _, curve = train(model, texts=[*texts, spare], steps=2, **RESPONSES_ALONE)
    assert [(step.response, step.gradient_norm) for step in curve] == [(0, 0), (0, 0)]
    with pytest.raises(InputError, match="no training text has a response"):
        train(type(model)(model.config), texts=texts, steps=2, **RESPONSES_ALONE)


def test_terms_are_zero_before_the_first_step(train, model: PreTrainedModel) -> None:
    """A fresh adapter has not moved: retain and KL start at 0, the contrast does not."""
    _, curve = train(model)
    assert curve[0].retain == pytest.approx(0, abs=1e-6)
    assert curve[0].penalty == pytest.approx(0, abs=1e-6)
    assert curve[0].contrast > 0.5
    assert curve[0].response > 1
    assert curve[-1].retain > 0


@pytest.mark.parametrize(("shown", "positions"), [("prompt", 1), ("response", 1), ("whole", 2)])
def test_a_part_shown_alone_is_the_whole_message(
    encoder: Encoder, examples: list[Example], shown: str, positions: int
) -> None:
    text = encoder(*shown_part(examples[0], shown))
    assert len({text.prompt_end, text.last}) == positions


def test_an_unknown_part_is_refused(examples: list[Example]) -> None:
    with pytest.raises(ValueError, match="augmentation 'middle'"):
        shown_part(examples[0], "middle")


@pytest.mark.parametrize("rate", [1e4, 1e30])
def test_divergence_stops_with_one_line_and_keeps_the_last_good_state(
    train: Train, model: PreTrainedModel, params: Params, tmp_path: Path, rate: float
) -> None:
    wild = params.finetune.model_copy(
        update={"learning_rate": rate, "clip_norm": 1e9, "diverged_above": 3.0}
    )
    kept = Checkpoint(tmp_path / "state.safetensors", "this run", every=1)
    with pytest.raises(InputError, match=r"diverges: .* lower finetune\.learning_rate"):
        train(model, finetuning=wild, checkpoint=kept, steps=10)
    state = kept.load()
    assert state is not None
    tensors, notes = state
    assert 1 <= notes["done"] < 10
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_killed_run_goes_on_to_the_same_bytes(
    train: Train, model: PreTrainedModel, params: Params, tmp_path: Path
) -> None:
    """Killed after any step, with points of the curve and dropout on either side of it."""
    careful = params.finetune.model_copy(update={"watch_every": 2, "lora_dropout": 0.1})

    def fresh() -> PreTrainedModel:
        copied = type(model)(model.config)
        copied.load_state_dict(model.state_dict())
        return copied.eval()

    whole, curve = train(fresh(), finetuning=careful, steps=5)
    for kill_after in (1, 2, 3):
        checkpoint = Killed(tmp_path / f"{kill_after}", "this run", every=1)
        checkpoint.last.append(kill_after)
        with pytest.raises(KeyboardInterrupt):
            train(fresh(), finetuning=careful, steps=5, checkpoint=checkpoint)
        checkpoint.last.clear()
        resumed, again = train(fresh(), finetuning=careful, steps=5, checkpoint=checkpoint)
        assert again == curve
        for name, weight in trained(whole).items():
            assert torch.equal(weight, trained(resumed)[name])
        other = dataclasses.replace(checkpoint, key="another run")
        assert other.load() is None


@dataclasses.dataclass(frozen=True)
class Killed(Checkpoint):
    """Stops the process, as far as a test can, once a step has been kept."""

    last: list[int] = dataclasses.field(default_factory=list)

    def save(self, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
        super().save(tensors, notes)
        if notes["done"] in self.last:
            raise KeyboardInterrupt


def test_a_gradient_that_is_not_finite_is_not_learned(
    params: Params, model: PreTrainedModel
) -> None:
    run = FinetuneRun(with_lora(model, params.finetune), params.finetune)
    weight = next(iter(run.trained.values()))
    before = weight.detach().clone()
    steep = (weight - weight.detach()).abs().sqrt().sum()  # its value is 0, its gradient is not
    with pytest.raises(InputError, match="its gradient is nan at step 1; lower"):
        run.learn({"contrast": steep}, {"contrast": 1.0}, params.finetune)
    assert torch.equal(weight, before)


def test_curve_is_a_table(tmp_path: Path) -> None:
    write_curve(tmp_path / "c.csv", [CurvePoint(1, 2.0, 0.0, 1 / 3, 0.0, 5.0, 0.25, 0.0)])
    head, row = (tmp_path / "c.csv").read_text(encoding="utf-8").splitlines()
    assert head == ",".join(field.name for field in dataclasses.fields(CurvePoint))
    assert row == "1,2,0,0.333333,0,5,0.25,0"


def test_the_curve_averages_the_steps_between_its_points(
    train: Train, model: PreTrainedModel, params: Params
) -> None:
    def fresh() -> PreTrainedModel:
        copied = type(model)(model.config)
        copied.load_state_dict(model.state_dict())
        return copied.eval()

    _, every = train(fresh(), steps=5)
    rarely = params.finetune.model_copy(update={"watch_every": 2})
    _, curve = train(fresh(), finetuning=rarely, steps=5)
    assert [point.step for point in curve] == [2, 4, 5]
    assert curve[0].contrast == pytest.approx((every[0].contrast + every[1].contrast) / 2)
    assert curve[0].gap == every[1].gap
    assert curve[-1] == every[-1]


def test_the_curve_is_shown_at_each_of_its_points(
    train: Train, model: PreTrainedModel, tmp_path: Path
) -> None:
    seen: list[str] = []

    def watch(curve: Sequence[CurvePoint]) -> None:
        write_curve(tmp_path / "curve.csv", curve)
        seen.append((tmp_path / "curve.csv").read_text(encoding="utf-8"))

    train(model, watch=watch)
    assert [text.count("\n") - 1 for text in seen] == [1, 2, 3]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(seen))


def test_every_contrast_that_a_variant_may_ask_for_exists() -> None:
    allowed = set(Variant.model_fields["contrast"].annotation.__args__)
    assert allowed == {*losses.CONTRASTS, *RIVALS, "none"}
