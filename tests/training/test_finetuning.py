"""The finetune trains what its variant says, from the seed alone, and moves nothing at 0 steps."""

import contextlib
import dataclasses
import shutil
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core import imports
from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.core.sections import Finetune, Variant
from pipeline.corpora.pairs import draw_pairs
from pipeline.models import checkpoints, distributed
from pipeline.models.building import with_lora
from pipeline.models.checkpoints import Checkpoint, run_key
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.hooks import decoder_blocks, injection
from pipeline.models.logits import token_kl
from pipeline.models.peft_import import PeftModel
from pipeline.training import losses
from pipeline.training.finetuning import (
    CurvePoint,
    FinetuneData,
    FinetuneRun,
    finetune,
    shown_part,
    write_curve,
)
from pipeline.training.fused_lora import switched_off
from pipeline.training.objective import Objective, lay_out
from pipeline.training.step import StepRead, StepTexts
from pipeline.training.terms import TERMS, interpretation_penalty
from tests.support.dag import ROOT
from tests.support.tiny import move

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
        checkpoint: Checkpoint = NEVER,
        **row: object,
    ) -> tuple[PeftModel, list[CurvePoint]]:
        variant = params.variants["sft_contrast"].model_copy(update=row)
        chosen = pairs[: params.finetune.pairs_per_step] * repeated or pairs
        data = FinetuneData({e.id: e for e in examples}, chosen, documents)
        torch.manual_seed(seed)
        adapted = with_lora(model, finetuning)
        objective = Objective(adapted, encoder, finetuning, variant, params.asking)
        return adapted, finetune(objective, data, finetuning, seed, checkpoint)

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


def test_terms_are_zero_before_the_first_step(train, model: PreTrainedModel) -> None:
    """A fresh adapter has not moved: retain and KL start at 0, the contrast does not."""
    _, curve = train(model)
    assert curve[0].retain == pytest.approx(0, abs=1e-6)
    assert curve[0].penalty == pytest.approx(0, abs=1e-6)
    assert curve[0].contrast > 0.5
    assert curve[0].response > 1
    assert curve[-1].retain > 0


def test_unused_terms_cost_nothing(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    variant = params.variants["sft_contrast"].model_copy(
        update={"contrast_weight": 0.0, "retain_weight": 0.0, "penalty_weight": 0.0}
    )
    adapted = with_lora(model, params.finetune)
    objective = Objective(adapted, encoder, params.finetune, variant, params.asking)
    texts = [encoder(e.prompt, e.response) for e in examples[:4]]
    terms = objective(StepTexts(texts[:2], texts[2:], torch.tensor([0, 1]), texts[:2], texts[:2]))
    assert [name for name, term in terms.items() if term.requires_grad] == ["response"]


def moved_objective(
    params: Params,
    encoder: Encoder,
    model: PreTrainedModel,
    pairs_per_pass: int = 0,
    checkpointing: bool = False,
    **update: object,
) -> Objective:
    """An objective whose adapter has moved: LoRA's second factor is not 0."""
    finetuning, variant = params.finetune.model_copy(update=update), params.variants["sft_contrast"]
    adapted = move(with_lora(model, finetuning))
    return Objective(
        adapted, encoder, finetuning, variant, params.asking, checkpointing, pairs_per_pass
    )


def terms_of(objective: Objective, texts: list[Encoded]) -> dict[str, Tensor]:
    """All terms; texts serve as views of pairs, as retained and as answered texts."""
    half = len(texts) // 2
    labels = torch.arange(half) % 2
    return objective(StepTexts(texts[:half], texts[half:], labels, texts, texts))


@pytest.mark.parametrize("penalty", ["kl", "weighted_nll"])
@pytest.mark.parametrize("distance", ["relative", "l2"])
@pytest.mark.parametrize(("texts_read", "layers"), [("retain", (1,)), ("pairs", (1, 2))])
def test_terms_equal_texts_one_by_one(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    model: PreTrainedModel,
    penalty: str,
    distance: str,
    texts_read: str,
    layers: tuple[int, ...],
) -> None:
    """The oracle: every text alone, by the model's own forward pass, and the terms by hand; their
    values, and the gradient of each."""
    objective = moved_objective(
        params, encoder, model, penalty=penalty, retain=distance, penalty_texts=(texts_read,),
        target_layers=layers,
    )  # fmt: skip
    texts = [encoder(e.prompt, e.response) for e in examples[:6]]
    found = terms_of(objective, texts)
    views: list[Tensor] = []
    moves, norms, divergences, likelihoods, nlls = [], [], [], [], []
    for text in texts:
        ids = torch.tensor([text.ids])
        tuned = objective.adapted(ids, output_hidden_states=True)
        with switched_off(objective.adapted), torch.no_grad():
            frozen = objective.adapted(ids, output_hidden_states=True)
        ends = {"prompt_end": text.prompt_end, "last": text.last}
        views.append(
            torch.stack(
                [
                    tuned.hidden_states[layer][0, ends[name]]
                    for layer in layers
                    for name in params.finetune.positions
                ]
            )
        )
        moved = torch.stack(tuned.hidden_states[1:]) - torch.stack(frozen.hidden_states[1:])
        lengths = torch.stack(frozen.hidden_states[1:]).norm(dim=-1)
        moves.append((moved.norm(dim=-1) / lengths)[:, 0])
        norms.append(moved.norm())
        now, before = (o.logits[0].log_softmax(-1) for o in (tuned, frozen))
        divergences.append((before.exp() * (before - now)).sum(-1))
        chosen = ids[0, 1:, None]
        following = now[:-1].gather(1, chosen)[:, 0]
        likelihoods.append(-(before[:-1].gather(1, chosen)[:, 0].exp() * following).sum())
        nlls.append(-following[text.prompt_end :])
    penalised = slice(0, 6 if texts_read == "retain" else 3)
    z, labels = torch.stack(views), torch.arange(3) % 2
    expected = {
        "contrast": torch.stack(
            [
                losses.true_negatives(one, other, labels, params.finetune.temperature)
                for one, other in zip(z[:3].unbind(1), z[3:].unbind(1), strict=True)
            ]
        ).mean(),
        "retain": torch.cat(moves, 1).mean() if distance == "relative" else sum(norms) / 6,
        "penalty": torch.cat(divergences[penalised]).mean()
        if penalty == "kl"
        else torch.stack(likelihoods[penalised]).mean(),
        "response": torch.cat(nlls).mean(),
    }
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4)
        assert gap(found[name], value, weights) < 1e-4, name


def gap(found: Tensor, expected: Tensor, weights: list[Tensor]) -> float:
    """How far one gradient is from another, relative to it."""
    one, other = (
        torch.cat([gradient.flatten() for gradient in gradients])
        for gradients in (
            torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
            for value in (found, expected)
        )
    )
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize(
    ("checkpointing", "pairs_per_pass"), [(True, 0), (False, 1), (False, 2), (True, 2)]
)
def test_what_saves_memory_changes_no_gradient(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    model: PreTrainedModel,
    checkpointing: bool,
    pairs_per_pass: int,
) -> None:
    """Blocks that run again, and views read a few pairs at a time (arXiv 2101.06983)."""
    texts = [encoder(e.prompt, e.response) for e in examples[:10]]
    everything = {"penalty_texts": ("retain", "pairs", "interpretations")}
    objective = moved_objective(params, encoder, model, **everything)
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]

    def outcome() -> tuple[dict[str, float], Tensor]:
        terms = terms_of(objective, texts)
        found = torch.autograd.grad(torch.stack(list(terms.values())).sum(), weights)
        values = {name: float(term.detach()) for name, term in terms.items()}
        return values, torch.cat([gradient.flatten() for gradient in found])

    values, expected = outcome()
    objective.checkpointing, objective.pairs_per_pass = checkpointing, pairs_per_pass
    again, gradient = outcome()
    assert again == {name: pytest.approx(value, rel=1e-5) for name, value in values.items()}
    assert float((gradient - expected).norm() / expected.norm()) < 1e-5


@dataclasses.dataclass(eq=False)
class Kept:
    """What a graph keeps for its backward pass, for as long as it does."""

    tensor: Tensor


@pytest.mark.parametrize("texts_read", ["retain", "pairs"])
def test_pairs_read_in_passes_keep_no_more_for_a_larger_batch(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    model: PreTrainedModel,
    texts_read: str,
) -> None:
    """And each pass reads its texts once on the way forward, and once more on the way back."""
    objective = moved_objective(params, encoder, model, penalty_texts=(texts_read,))
    text = encoder(examples[0].prompt, examples[0].response)
    first_block = decoder_blocks(objective.adapted)[0]

    def kept(pairs: int, pairs_per_pass: int) -> tuple[int, int, int]:
        """Numbers kept for the backward pass, and how often the first block ran by then, and
        after it."""
        objective.pairs_per_pass = pairs_per_pass
        alive, runs = weakref.WeakSet[Kept](), 0

        def keep(tensor: Tensor) -> Kept:
            alive.add(one := Kept(tensor))
            return one

        def count(*_: object) -> None:
            nonlocal runs
            runs += 1

        with first_block.register_forward_pre_hook(count):
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one.tensor):
                views, labels = [text] * pairs, torch.arange(pairs) % 2
                terms = objective(StepTexts(views, views, labels, [text], [text]))
            forward, numbers = runs, sum(one.tensor.numel() for one in alive)
            torch.stack(list(terms.values())).sum().backward()
        return numbers, forward, runs

    once, _, _ = kept(2, 0)
    few, forward, both = kept(4, 2)
    many, _, _ = kept(16, 2)
    whole, _, _ = kept(16, 0)
    assert many - few < (whole - once) / 10
    passes = 2 + (texts_read == "pairs") * 2  # views; view 1 by both models
    assert forward == passes + 2  # and the row of all other texts, by both models
    assert both == forward + 2 + (texts_read == "pairs")  # what both models read has one way back


def test_interpretations_move_readers_not_states(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The interpretation term must not gather states by itself: what it reads is detached."""
    objective = moved_objective(params, encoder, model)
    read = read_to_be_interpreted(objective, examples[:4])
    states = read.states[params.asking.layer].detach().requires_grad_()
    own = dataclasses.replace(read, states={params.asking.layer: states})
    term = interpretation_penalty(own)
    assert float(term.detach()) > 0
    (to_states,) = torch.autograd.grad(term, states, allow_unused=True, retain_graph=True)
    assert to_states is None
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]
    to_weights = torch.autograd.grad(term, weights, allow_unused=True)
    assert any(gradient is not None and gradient.any() for gradient in to_weights)


def read_to_be_interpreted(objective: Objective, examples: list[Example]) -> StepRead:
    encoder = objective.finetuned.encoder
    texts = StepTexts(retained=[encoder(e.prompt, e.response) for e in examples])
    return objective.read(lay_out(texts, [TERMS["penalty on interpretations"]]))


def test_the_interpretation_penalty_is_the_kl_of_two_readers(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel
) -> None:
    """The oracle: one text and position at a time, by the published way of injecting."""
    objective = moved_objective(params, encoder, model)
    read = read_to_be_interpreted(objective, examples[:3])
    opening = encoder.contents(params.asking.answer.partition("{concept}")[0].rstrip())
    prompt = encoder.placeholder_prompt(params.asking.question, params.asking.placeholders)
    ids = torch.tensor([[*prompt, *opening]])
    layer, found = params.asking.layer, []
    for text in range(3):
        for position in params.asking.positions:
            logits = []
            for states, reader in (
                (read.states[layer], contextlib.nullcontext()),
                (read.frozen.states[layer], switched_off(objective.adapted)),
            ):
                vector = read.row.at(states, position)[text : text + 1].detach()
                with (
                    reader,
                    injection(objective.adapted, params.asking, ids == encoder.slot, vector),
                ):
                    logits.append(objective.adapted(ids).logits[0, len(prompt) - 1 :])
            found.append(token_kl(*logits))
    expected = torch.cat(found).mean()
    term = interpretation_penalty(read)
    assert float(term.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]
    assert gap(term, expected, weights) < 1e-4


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


def test_a_damaged_state_is_no_state(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", "key", every=1)
    assert checkpoint.load() is None
    checkpoint.save({"x": torch.ones(3)}, {"done": 1})
    assert checkpoint.load() is not None
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:-5])
    assert checkpoint.load() is None


def test_whatever_decides_the_result_names_the_run(tmp_path: Path, params: Params) -> None:
    text = tmp_path / "pairs.jsonl"
    text.write_text("one", encoding="utf-8")
    cpu = torch.device("cpu")
    key = run_key("adapters", 0, [params.finetune], [text], cpu)
    assert key == run_key("adapters", 0, [params.finetune], [text], cpu)
    other = params.finetune.model_copy(update={"temperature": 0.2})
    assert run_key("adapters", 0, [other], [text], cpu) != key
    assert run_key("adapters", 1, [params.finetune], [text], cpu) != key
    assert run_key("adapters", 0, [params.finetune], [text], torch.device("meta")) != key
    text.write_text("two", encoding="utf-8")
    assert run_key("adapters", 0, [params.finetune], [text], cpu) != key


def test_a_run_is_named_by_the_code_it_reaches_and_by_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pipeline", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package)
    monkeypatch.setattr(checkpoints, "ROOT", tmp_path)
    monkeypatch.setattr(imports, "ROOT", tmp_path)

    def key() -> str:
        return run_key("adapters", 0, [], [], torch.device("cpu"))

    def edit(path: str) -> None:
        assert (ROOT / path).is_file()
        with (tmp_path / path).open("a", encoding="utf-8") as code:
            code.write("# changed\n")

    first = key()
    for path in (
        "pipeline/reporting/figures.py",
        "pipeline/training/pretraining.py",
        "pipeline/inference/generation.py",
        "stages/representations.py",
    ):
        edit(path)
        assert key() == first, f"{path} decides nothing of a finetune"
    keys = {first}
    for path in (
        "stages/adapters.py",
        "pipeline/training/losses.py",
        "pipeline/models/__init__.py",
    ):
        edit(path)
        keys.add(key())
    monkeypatch.setattr(checkpoints, "version", lambda name: "another")
    keys.add(key())
    monkeypatch.setattr(distributed, "count", lambda: 2)
    keys.add(key())
    assert len(keys) == 6


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


def test_every_contrast_that_a_variant_may_ask_for_exists() -> None:
    allowed = set(Variant.model_fields["contrast"].annotation.__args__)
    assert allowed == {*losses.CONTRASTS, "none"}
