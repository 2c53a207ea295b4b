"""Attacks on one model's monitors: everything is scored, in words, and others' attacks too."""

import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.records import ATTACKS, SOFT_SUFFIX, UNATTACKED, Example
from pipeline.core.sections import Attacks
from pipeline.inference.attacks import AttackResults, attack_monitors, scores_of_attacks
from pipeline.inference.suffixes import Target
from pipeline.models.encoding import Encoder
from tests.inference.test_suffixes import along

SETTINGS = Attacks(texts=3, monitors=("logistic", "mlp"), suffix_tokens=2, passes=10, swaps=2)


@pytest.fixture
def target(model: PreTrainedModel, encoder: Encoder) -> Target:
    generator = torch.Generator().manual_seed(5)
    readers = {kind: along(torch.randn(16, generator=generator)) for kind in SETTINGS.monitors}
    return Target(model, encoder, readers, tokens_per_batch=300)


@pytest.fixture
def asked(examples: list[Example]) -> list[Example]:
    return [e for e in examples if e.split == "test" and e.concept != "safe"][:3]


@pytest.fixture
def beside(examples: list[Example]) -> list[Example]:
    return [e for e in examples if e.split == "validation"]


@pytest.fixture
def found(target: Target, asked: list[Example], beside: list[Example]) -> AttackResults:
    return attack_monitors(target, "base", asked, beside, SETTINGS, seed=0)


def test_every_attack_on_every_monitor_is_scored(
    found: AttackResults, asked: list[Example], beside: list[Example]
) -> None:
    assert {(s.text, s.monitor, s.attack) for s in found.scores} == {
        (e.id, kind, attack)
        for kind in SETTINGS.monitors
        for attack, texts in [
            (UNATTACKED, [*asked, *beside]), *((attack, asked) for attack in ATTACKS)
        ]
        for e in texts
    }  # fmt: skip
    assert {(s.passes, s.attack) for s in found.scores} == {
        (0, UNATTACKED), (4, "framed"), *((10, attack) for attack in ATTACKS[1:])
    }  # fmt: skip
    prompts = {example.id: example.prompt for example in asked}
    assert all(prompts[own.text] in own.prompt != prompts[own.text] for own in found.prompts)
    assert {own.attack for own in found.prompts} == {*ATTACKS} - {SOFT_SUFFIX}


def test_curves_start_at_the_prompt_as_it_was_and_end_at_what_is_scored(
    found: AttackResults,
) -> None:
    first = {(s.text, s.monitor): s.logit for s in found.steps if s.passes == 0}
    clean = {(s.text, s.monitor): s.logit for s in found.scores if s.attack == UNATTACKED}
    assert first == {key: clean[key] for key in first}
    last = {(s.text, s.monitor, s.attack): s.logit for s in found.steps if s.passes == 10}
    final = {(s.text, s.monitor, s.attack): s.logit for s in found.scores}
    assert len(last) == 3 * 2 * 3
    assert last == pytest.approx({key: final[key] for key in last}, abs=1e-4)


def test_a_models_own_attacks_score_alike_when_they_are_shown_again(
    target: Target, asked: list[Example], found: AttackResults
) -> None:
    again = scores_of_attacks(target, "base", asked, SETTINGS, found)
    own = {(s.text, s.monitor, s.attack): s for s in found.scores}
    assert len(again) == 3 * 2 * len(ATTACKS)
    assert all(own[s.text, s.monitor, s.attack] == s for s in again)


def test_runs_are_repeatable_and_seeds_differ(
    target: Target, asked: list[Example], beside: list[Example], found: AttackResults
) -> None:
    assert attack_monitors(target, "base", asked, beside, SETTINGS, 0).prompts == found.prompts
    other = attack_monitors(target, "base", asked, beside, SETTINGS, 1)
    assert other.prompts != found.prompts


def test_faults_a_tokenizer_without_words_is_refused(
    target: Target, asked: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Encoder, "whole_words", lambda self: [])
    with pytest.raises(InputError, match=r"no token that is a word .* attacks.texts: 0"):
        attack_monitors(target, "base", asked, [], SETTINGS, 0)
