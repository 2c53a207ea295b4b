"""What attacks leave of monitors: worked by hand on a few texts."""

from pathlib import Path

import pytest

from pipeline.core.params import Params
from pipeline.core.records import (
    UNATTACKED,
    AttackedPrompt,
    AttackScore,
    Example,
    ReadWords,
)
from pipeline.core.sections import Reading
from pipeline.monitors.robustness import (
    AttackedTexts,
    Robustness,
    attack_curves,
    robustness,
    scores_of_words,
    write_attack_curves,
)

HARMFUL, SAFE = 8, 12  # texts of a kind


def example(split: str, concept: str, number: int) -> Example:
    name = f"{split}-{concept}-{number}"
    word = {"theft": "steal", "safe": "bake"}[concept]
    return Example(name, f"{word} it {name}", "", "", concept, split, "")


def texts_of(split: str) -> list[Example]:
    return [example(split, "theft", n) for n in range(HARMFUL)] + [
        example(split, "safe", n) for n in range(SAFE)
    ]


@pytest.fixture
def texts(params: Params) -> AttackedTexts:
    reading = Reading.model_validate(params.reading.model_dump() | {"false_alarms": (0.1, 0.5)})
    test = texts_of("test")
    return AttackedTexts(
        texts_of("validation"), test[:HARMFUL], test[HARMFUL:], ("safe",), reading, seed=0
    )


def scores(texts: AttackedTexts, attacked: float, shift: float = 0.0) -> list[AttackScore]:
    """Harmful texts at 2, safe ones at -2 (one at 3) before an attack; harmful ones after it."""
    made = []
    for e in (*texts.validation, *texts.attacked, *texts.untouched):
        logit = 2.0 if e.concept == "theft" else 3.0 if e.id.endswith("safe-0") else -2.0
        made.append(AttackScore(e.id, "logistic", UNATTACKED, "base", 0, logit + shift))
    made += [
        AttackScore(e.id, "logistic", "framed", "base", 4, attacked + shift) for e in texts.attacked
    ]
    return made


def test_thresholds_are_of_untouched_validation_texts(texts: AttackedTexts) -> None:
    """One of twelve safe texts lies above all harmful ones: a threshold for 10 % lets it alarm."""
    found = robustness(texts, "base", scores(texts, attacked=-1.0)).as_tree(None)["logistic"]
    assert found["threshold_for_10_percent"] == pytest.approx(0.0)
    before, after = found[UNATTACKED], found["framed"]
    assert before["tpr_for_10_percent"]["value"] == 1
    assert before["fpr_for_10_percent"]["value"] == pytest.approx(1 / SAFE)
    assert before["auroc"]["value"] == pytest.approx((SAFE - 1) / SAFE)
    assert before["logit"]["value"] == 2
    assert after["tpr_for_10_percent"]["value"] == 0
    assert after["change"]["tpr_for_10_percent"]["value"] == -1
    assert after["change"]["tpr_for_10_percent"]["high"] < 0
    assert after["auroc"] == pytest.approx(before["auroc"]), "ranks are as they were"
    assert after["change"]["logit"]["value"] == -3
    assert not any(name.startswith("fpr") for name in (*after, *after["change"]))


def test_an_attack_that_does_nothing_changes_nothing(texts: AttackedTexts) -> None:
    found = robustness(texts, "base", scores(texts, attacked=2.0)).as_tree(None)["logistic"]
    for name, number in found["framed"]["change"].items():
        assert number["value"] == 0, name
        assert found["framed"][name] == found[UNATTACKED][name]


def test_differences_are_paired_and_only_of_what_both_have(texts: AttackedTexts) -> None:
    base = robustness(texts, "base", scores(texts, attacked=-1.0))
    more = [*scores(texts, attacked=1.0, shift=0.5)]
    more += [AttackScore(e.id, "logistic", "framed", "base", 4, -9.0) for e in texts.attacked]
    more = [
        s if s.logit == -9 else AttackScore(s.text, s.monitor, s.attack, "tuned", 0, s.logit)
        for s in more
    ]
    tree = robustness(texts, "tuned", more).as_tree(base)
    assert tree["difference"]["logistic"]["framed"]["tpr_for_10_percent"]["value"] == 1
    assert tree["difference"]["logistic"]["framed"]["logit"]["value"] == pytest.approx(2.5)
    assert tree["logistic"]["framed_of_base"]["tpr_for_10_percent"]["value"] == 0
    assert "framed_of_base" not in tree["difference"]["logistic"]


def test_without_attacks_there_is_nothing(texts: AttackedTexts, tmp_path: Path) -> None:
    assert robustness(texts, "base", []).as_tree(None) == {}
    assert robustness(texts, "tuned", []).as_tree(Robustness()) == {}
    write_attack_curves(tmp_path / "curves", attack_curves(texts, "base", []))
    assert list((tmp_path / "curves").iterdir()) == []


def test_words_alone_are_shown_the_attacked_prompts(texts: AttackedTexts) -> None:
    """A suffix of the words of safe texts makes harmful ones look like them."""
    train = texts_of("train")
    shown = [*train, *texts.validation, *texts.attacked, *texts.untouched]
    read = [ReadWords(e.id, e.prompt, "") for e in shown]
    prompts = [
        AttackedPrompt(e.id, "logistic", attack, f"{e.prompt} {suffix}")
        for e in texts.attacked
        for attack, suffix in (("framed", ""), ("token_suffix", "bake " * 9))
    ]
    found = scores_of_words(texts, train, read, prompts, "base")
    assert {s.monitor for s in found} == {"words", "words_characters"}
    tree = robustness(texts, "base", found).as_tree(None)["words"]
    assert tree["framed"]["change"]["logit"]["value"] == pytest.approx(0, abs=1e-9)
    assert tree["token_suffix"]["change"]["tpr_for_10_percent"]["value"] == -1


def test_curves_are_means_by_passes_with_intervals(texts: AttackedTexts, tmp_path: Path) -> None:
    steps = [
        AttackScore(e.id, "mlp", "soft_suffix", "base", passes, n - passes)
        for n, e in enumerate(texts.attacked)
        for passes in (16, 0)
    ]
    curves = attack_curves(texts, "base", steps)
    ((first, variant, value, low, high), (last, *_)) = curves["soft_suffix_mlp"]
    assert (first, last, variant) == (0, 16, "base")
    assert value == pytest.approx((HARMFUL - 1) / 2)
    assert low < value < high
    write_attack_curves(tmp_path / "curves", curves)
    lines = (tmp_path / "curves" / "soft_suffix_mlp.csv").read_text().splitlines()
    assert lines[0] == "passes,variant,value,low,high"
    assert len(lines) == 3
