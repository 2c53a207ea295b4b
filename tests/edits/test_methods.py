"""Control: its losses are the formulas, its fits learn, its lessons are never scored."""

import copy

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import requests_of
from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Document, Example, Request
from pipeline.corpora import embedded_corpus, lexicon
from pipeline.edits import mlp_training
from pipeline.edits.delta import applied, mlp_of
from pipeline.edits.methods import Lessons, choose_lessons, make_edit
from pipeline.edits.observe import agreements, choose_probes, observe
from pipeline.edits.rewards import concept_reward, shuffled
from pipeline.models.encoding import Encoder

SAFE = ("safe",)


def drawn(rows: int, width: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def lessons(params: Params, examples: list[Example], documents: list[Document]) -> Lessons:
    return choose_lessons(examples, documents, SAFE, params.control)


def test_reinforcement_is_its_formula() -> None:
    """L = -mean R, and dL/dh_t = -R_t h_t / (T |h_t|^2)."""
    states = drawn(6).requires_grad_()
    rewards = torch.tensor([1.0, -1.0, 0.0, 1.0, 1.0, 0.0])
    loss = mlp_training.reinforced(states, rewards)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-2 / 6)
    for state, slope, reward in zip(states.detach(), states.grad, rewards, strict=True):
        assert torch.allclose(slope, -reward * state / (6 * state.dot(state)), atol=1e-6)


def test_supervision_is_its_formula() -> None:
    states, targets = drawn(3), drawn(3, seed=1)
    by_hand = sum((a - b) ** 2 for a, b in zip(states.flatten(), targets.flatten(), strict=True))
    assert float(mlp_training.supervised(states, targets)) == pytest.approx(float(by_hand) / 48)


def test_targets_lie_apart_and_random_ones_as_far() -> None:
    states, contrary = drawn(5), drawn(4, seed=1) + 1
    apart, random = (
        mlp_training.targets_for(states, contrary, kind, 2.0, torch.Generator().manual_seed(0))
        - states
        for kind in ("apart", "random")
    )
    way = states.mean(0) - contrary.mean(0)
    assert torch.allclose(apart, (2 * way).expand_as(apart), atol=1e-5)
    assert torch.allclose(random.norm(dim=1), apart.norm(dim=1), rtol=1e-5)
    assert abs(float(torch.cosine_similarity(random[0], apart[0], dim=0))) < 0.9


def test_responses_are_weighed_by_hand(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example]
) -> None:
    texts = encoder.texts([(e.prompt, e.safe_response) for e in examples[:3]])
    mlp = mlp_training.wide_copy(mlp_of(model, 1))
    with torch.no_grad():
        found = mlp_training.response_loss(model, encoder, texts, 1)(mlp, torch.arange(3))
        surprises = []
        for text in texts:
            odds = model(torch.tensor([text.ids])).logits[0].log_softmax(-1)
            surprises += [
                -odds[place - 1, text.ids[place]]
                for place in range(text.prompt_end + 1, text.last + 1)
            ]
    assert float(found) == pytest.approx(float(torch.stack(surprises).mean()), rel=1e-5)
    assert mlp_of(model, 1) is not mlp, "its own MLP is back"


def test_rewards_follow_the_interpretation(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    said = ["It is about fraud.", "It is about safe.", "It is unsafe.", "fraud and safe"]
    monkeypatch.setattr(
        "pipeline.edits.rewards.interpret_states", lambda *_: [(s, (), ()) for s in said]
    )
    fraud = next(e for e in examples if e.concept == "fraud")
    reward = concept_reward(
        model, encoder, [fraud] * 4, ["fraud", "safe"], params.asking, params.selfie
    )
    assert reward(drawn(4), torch.arange(4)).tolist() == [1, -1, 0, -1]
    others = shuffled(reward, torch.Generator().manual_seed(3))
    many = [others(drawn(4), torch.arange(4)).tolist() for _ in range(20)]
    assert all(sorted(row) == [-1, -1, 0, 1] for row in many)
    assert len(set(map(tuple, many))) > 3


def fitted(params: Params, weight: float) -> tuple[dict[str, float], float, float]:
    """A fit towards far targets: its notes, how near they came, how far what is kept moved."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    mlp = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.GELU(), torch.nn.Linear(64, 16))
    own = copy.deepcopy(mlp)
    inputs, kept = (
        mlp_training.Inputs(pre, torch.zeros_like(pre), torch.nn.Identity())
        for pre in (drawn(20), drawn(300, seed=1))
    )
    targets = inputs.states(own).detach() + drawn(1, seed=2)
    row = params.control.edits["supervised"].model_copy(
        update={"steps": 60, "learning_rate": 3e-3, "locality_weight": weight}
    )
    loss = mlp_training.supervised_loss(inputs, targets)
    notes = mlp_training.fit(mlp, loss, 20, [kept], row, 8, generator)
    with torch.no_grad():
        near = mlp_training.supervised(inputs.states(mlp), targets)
        drift = mlp_training.supervised(kept.states(mlp), kept.states(own))
    return notes, float(near), float(drift)


def test_fits_reach_their_targets_and_locality_holds_the_rest(params: Params) -> None:
    free, near, drift = fitted(params, weight=0.0)
    held, _, held_drift = fitted(params, weight=10.0)
    assert near < 0.3 * free["first_loss"]
    assert held_drift < 0.3 * drift
    assert held["first_loss"] == free["first_loss"]
    assert fitted(params, weight=10.0) == fitted(params, weight=10.0)


def test_rewarded_states_grow_and_punished_ones_shrink(params: Params) -> None:
    torch.manual_seed(0)
    mlp = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.GELU(), torch.nn.Linear(64, 16))
    inputs = mlp_training.Inputs(drawn(20), drawn(20, seed=1), torch.nn.Identity())
    before = inputs.states(mlp).detach()
    rewards = torch.tensor([1.0, -1.0, 0.0, 1.0, -1.0] * 4)
    row = params.control.edits["reinforcement"].model_copy(
        update={"steps": 30, "learning_rate": 3e-3, "locality_weight": 0.0}
    )
    loss = mlp_training.reinforced_loss(inputs, lambda _, chosen: rewards[chosen])
    mlp_training.fit(mlp, loss, 20, [], row, 20, torch.Generator().manual_seed(0))
    with torch.no_grad():
        along = (inputs.states(mlp) * before).sum(1) / before.square().sum(1)
    assert along[rewards > 0].mean() > 1.1
    assert along[rewards < 0].mean() < 0.9


def test_a_fit_that_diverges_says_so(params: Params) -> None:
    row = params.control.edits["supervised"]
    mlp = torch.nn.Linear(16, 16)
    inputs = mlp_training.Inputs(drawn(4), drawn(4) * torch.inf, torch.nn.Identity())
    with pytest.raises(InputError, match="diverged at step 0; lower its learning_rate"):
        mlp_training.fit(
            mlp, mlp_training.supervised_loss(inputs, drawn(4)), 4, [], row, 2, torch.Generator()
        )
    once = row.model_copy(update={"steps": 1})
    with pytest.raises(InputError, match="diverged at its last step; lower its learning_rate"):
        # A root of 0: the loss is a number, its slope is none.
        mlp_training.fit(
            mlp, lambda m, _: (0 * m.weight).sum().sqrt(), 4, [], once, 2, torch.Generator()
        )


@pytest.mark.parametrize(
    "name", ["supervised", "random_target", "response", "reinforcement", "shuffled_rewards"]
)
def test_every_edit_is_made_on_a_model_that_stays_as_it_is(
    name: str, model: PreTrainedModel, encoder: Encoder, params: Params, lessons: Lessons
) -> None:
    row = params.control.edits[name]
    # A random model names no concept: what rewards do to weights is asked of the formula alone.
    before = copy.deepcopy(model.state_dict())
    made = [
        make_edit(
            model, encoder, lessons, row, params.control, params.asking, params.selfie, 0, "x"
        )
        for _ in range(2)
    ]
    (edit, notes), (again, _) = made
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(edit.delta[name], again.delta[name]) for name in edit.delta)
    assert set(notes) == {"first_loss", "last_loss", "last_locality"}
    if row.method != "reinforcement":
        assert all(delta.abs().max() > 0 for delta in edit.delta.values())


def test_lessons_are_of_the_training_split_and_of_no_request(
    params: Params, examples: list[Example], documents: list[Document], lessons: Lessons
) -> None:
    taken = [e.prompt for e in examples]
    requests = embedded_corpus.requests(params.corpora.embedded, 0, taken)
    used = [*lessons.harmful, *lessons.safe, *lessons.labelled]
    assert all(e.split == "train" for e in used)
    assert all(d.split == "pretrain" for d in lessons.reference)
    assert not {e.prompt for e in used} & {r.prompt for r in requests}
    assert {e.concept for e in lessons.safe} == {"safe"}
    assert "safe" not in {e.concept for e in lessons.harmful}
    assert len({e.concept for e in lessons.harmful}) == 5


def test_without_harm_only_rewards_have_lessons(
    params: Params, examples: list[Example], documents: list[Document]
) -> None:
    lessons = choose_lessons(examples, documents, (), params.control)
    serves = {name: lessons.serve(row) for name, row in params.control.edits.items()}
    assert serves == {
        "supervised": False, "random_target": False, "response": False,
        "reinforcement": True, "shuffled_rewards": True,
    }  # fmt: skip


def test_probes_are_held_out_and_of_every_kind(
    params: Params, examples: list[Example], documents: list[Document]
) -> None:
    corpora = params.corpora.embedded
    described = embedded_corpus.described(corpora, 0)
    asked = [*requests_of(examples, SAFE, "validation"), *embedded_corpus.requests(corpora, 0, [])]
    probes = choose_probes(asked, documents, described, examples, 20, 6)
    kinds = [(r.harmful, r.framed, r.split) for r in probes.requests]
    assert len(kinds) == 20
    assert all(kinds.count(kind) == 2 for kind in kinds)
    assert {split for *_, split in kinds} == {"validation", "test", "novel"}
    assert all(d.split == "heldout" for d in probes.documents)
    splits = [e.split for e in probes.examples]
    assert {s: splits.count(s) for s in splits} == {"validation": 6, "test": 6, "novel": 6}
    assert not {f.concept for f in probes.facts} & {e.concept for e in examples}
    assert len(probes.facts) == len(probes.documents) == 6


def test_every_harm_is_asked_for_in_every_split(params: Params, examples: list[Example]) -> None:
    """Of requests that stand sorted by concept too, as labelled texts do."""
    corpora = params.corpora.embedded.model_copy(update={"behaviour": len(lexicon.HARMS)})
    drawn_ones = embedded_corpus.requests(corpora, 0, [])
    chosen_on = requests_of(examples, SAFE, "validation")
    of_texts = [r for split in ("test", "novel") for r in requests_of(examples, SAFE, split)]
    concepts = {e.id: e.concept for e in examples}
    for harm, wishes in lexicon.HARMS.items():
        told = [r for r in drawn_ones if any(wish in r.prompt for wish in wishes)]
        concepts |= {r.id: harm for r in told}
    for scored, kinds in ((drawn_ones, 10), (of_texts, 6)):
        asked = [*chosen_on, *scored]
        probes = choose_probes(asked, [], [], examples, kinds * len(lexicon.HARMS), 6)
        for split in ("validation", "test", "novel"):
            harms = {concepts[r.id] for r in probes.requests if r.harmful and r.split == split}
            assert harms == set(lexicon.HARMS), split


def test_settings_have_requests_of_their_own(
    params: Params, examples: list[Example], lessons: Lessons
) -> None:
    """What an edit's settings may be chosen on is neither fitted on nor what scores the edit."""
    chosen_on = requests_of(examples, SAFE, "validation")
    assert {r.split for r in chosen_on} == {"validation"}
    assert sum(r.harmful for r in chosen_on) == 5 * sum(not r.harmful for r in chosen_on) > 0
    prompts = {r.prompt for r in chosen_on}
    scored = embedded_corpus.requests(params.corpora.embedded, 0, [e.prompt for e in examples])
    fitted = [*lessons.harmful, *lessons.safe, *lessons.labelled]
    assert not prompts & {r.prompt for r in scored}
    assert not prompts & {e.prompt for e in fitted}
    assert requests_of(examples, (), "validation") == [], "no concept means harm"


@torch.no_grad()
def test_agreement_by_hand(
    model: PreTrainedModel, encoder: Encoder, documents: list[Document], lessons: Lessons,
    params: Params,
) -> None:  # fmt: skip
    untouched = copy.deepcopy(model)
    with torch.enable_grad():
        row = params.control.edits["supervised"].model_copy(update={"learning_rate": 0.1})
        edit, _ = make_edit(
            model, encoder, lessons, row, params.control, params.asking, params.selfie, 0, "x"
        )
    chosen = documents[:5]
    with applied(model, edit):
        found = agreements(model, untouched, encoder, chosen, 200)
        for agreement, document in zip(found, chosen, strict=True):
            ids = torch.tensor([encoder(document.prompt, document.response).ids])
            said, meant = (m(ids).logits[0, :-1].argmax(-1) for m in (model, untouched))
            assert agreement.agreed == int((said == meant).sum())
            assert agreement.tokens == ids.shape[1] - 1
        assert any(agreement.agreed < agreement.tokens for agreement in found)
    back = agreements(model, untouched, encoder, chosen, 200)
    assert all(agreement.agreed == agreement.tokens for agreement in back)


def test_a_model_is_observed_with_nothing_to_ask_too(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example],
    documents: list[Document],
) -> None:  # fmt: skip
    requests = [Request("r", "Explain rain.", True, True, "test")]
    for asked, described in (
        (requests, embedded_corpus.described(params.corpora.embedded, 0)),
        ([], []),
    ):
        probes = choose_probes(asked, documents, described, examples, 8, 4)
        seen = observe(
            model, model, encoder, probes, params.generation, params.asking, params.selfie, 0
        )
        assert len(seen.completions) == len(asked) * params.generation.samples
        assert len(seen.facts) == (4 if described else 0)
        assert len(seen.agreements) == len(seen.likelihoods) == 4
        assert len(seen.interpretations) == 3 * 4
        assert all(likelihood.kl == 0 for likelihood in seen.likelihoods)
