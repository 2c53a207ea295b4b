"""The terms are what their definitions say, text by text, however a step reads its texts."""

import dataclasses
import weakref

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.core.records import Example
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.fused_lora import switched_off
from pipeline.models.hooks import decoder_blocks
from pipeline.models.lora import with_lora
from pipeline.training import losses
from pipeline.training.objective import Objective, lay_out
from pipeline.training.step import Depth, StepRead, StepTexts, TextsRead
from pipeline.training.terms import Term
from tests.support.objectives import gap, moved_objective


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


def terms_of(objective: Objective, texts: list[Encoded]) -> dict[str, Tensor]:
    """All terms; texts serve as views of pairs, as retained and as answered texts."""
    half = len(texts) // 2
    labels = torch.arange(half) % 2
    return objective(StepTexts(texts[:half], texts[half:], labels, texts, texts))


@pytest.mark.parametrize("penalty", ["kl", "weighted_nll"])
@pytest.mark.parametrize("distance", ["relative", "l2"])
@pytest.mark.parametrize(
    ("texts_read", "layers", "positions"),
    [("retain", (1,), ("last",)), ("pairs", (1, 2), ("prompt_end", "mean"))],
)
def test_terms_equal_texts_one_by_one(
    params: Params,
    encoder: Encoder,
    examples: list[Example],
    model: PreTrainedModel,
    penalty: str,
    distance: str,
    texts_read: str,
    layers: tuple[int, ...],
    positions: tuple[str, ...],
) -> None:
    """The oracle: every text alone, by the model's own forward pass, and the terms by hand; their
    values, and the gradient of each."""
    objective = moved_objective(
        params, encoder, model, penalty=penalty, retain=distance, penalty_texts=(texts_read,),
        target_layers=layers, positions=positions,
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
        states = {
            "prompt_end": lambda hidden, end=text.prompt_end: hidden[end],
            "last": lambda hidden, end=text.last: hidden[end],
            "mean": lambda hidden: hidden.mean(0),
        }
        read = [states[p](tuned.hidden_states[layer][0]) for layer in layers for p in positions]
        views.append(torch.stack(read))
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


def longest_state(read: TextsRead) -> Tensor:
    """A made-up term: neither a mean nor a sum over texts."""
    states = torch.cat([read.at_targets("second"), read.at_targets("first")])
    return torch.linalg.vector_norm(states, dim=-1).max()


def confidence(read: TextsRead) -> Tensor:
    """Another: the mean log-sum-exp of logits over view 2's tokens."""

    def of_row(row: StepRead) -> Tensor:
        return row.finetuned.logits(row.final[row.tokens("second")]).logsumexp(-1).sum()

    return read.summed("second", of_row) / sum(read.lengths("second"))


@pytest.mark.parametrize(
    "term",
    [
        Term(longest_state, {"first": Depth.TARGET, "second": Depth.TARGET}),
        Term(confidence, {"second": Depth.END}),
    ],
    ids=["of states at targets", "of final states"],
)
def test_a_new_term_of_views_is_the_same_in_passes(
    params: Params, encoder: Encoder, examples: list[Example], model: PreTrainedModel, term: Term
) -> None:
    """Nothing but the term itself says how its texts may be read."""
    objective = moved_objective(params, encoder, model)
    views = [encoder(e.prompt, e.response) for e in examples[:10]]
    texts = StepTexts(views[:5], views[5:], torch.arange(5))
    assert term.of_views
    whole = term.value(objective.read(lay_out(texts, [term]), texts.labels))
    objective.pairs_per_pass = 1
    apart = term.value(objective.in_passes(texts, [term]))
    assert float(apart.detach()) == pytest.approx(float(whole.detach()), rel=1e-5)
    weights = [w for w in objective.adapted.parameters() if w.requires_grad]
    assert gap(apart, whole, weights) < 1e-5


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
