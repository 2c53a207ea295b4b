"""Probes of all tokens of a text: their formulas, gradients and memory, and what each can find."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from pipeline.monitors import pooled
from pipeline.monitors.pooled import (
    PENALTY,
    POOLINGS,
    PooledProbe,
    Pooling,
    fit_pooled,
    standard_of,
)
from pipeline.monitors.token_states import TokenStates

WIDTH = 6
LEARNED, KNOWN, OTHERS = range(160), range(160, 220), range(220, 420)


def stored(folder: Path, texts: Sequence[np.ndarray], tokens_per_batch: int = 64) -> TokenStates:
    states = TokenStates(
        folder / "tokens", tuple(map(len, texts)), texts[0].shape[1], tokens_per_batch
    )
    states.make()
    for number in reversed(range(len(texts))):
        states.put(number, texts[number].astype(np.float32))
    return states


def texts_of(harmful: np.ndarray, signal: float, everywhere: bool) -> list[np.ndarray]:
    """Texts of 10 to 40 tokens; in a harmful one a single token, or each, differs along an axis."""
    rng = np.random.default_rng(0)
    found = []
    for kind in harmful:
        own = rng.normal(size=(rng.integers(10, 41), WIDTH)) * np.arange(1, WIDTH + 1) + 5
        if kind:
            own[slice(None) if everywhere else rng.integers(len(own)), 0] += signal
        found.append(own)
    return found


@pytest.fixture
def harmful() -> np.ndarray:
    return np.random.default_rng(1).random(OTHERS.stop) < 0.5


def area(probe: PooledProbe, states: TokenStates, harmful: np.ndarray) -> float:
    truth = harmful[OTHERS.start : OTHERS.stop]
    return float(roc_auc_score(truth, probe.logits(states, OTHERS)))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_is_its_formula(pooling: Pooling, tmp_path: Path) -> None:
    """Text by text in a plain loop, over batches that part texts anywhere between two."""
    rng = np.random.default_rng(0)
    texts = [rng.normal(size=(n, WIDTH)) for n in (1, 5, 2, 9)]
    probe = PooledProbe(pooling, rng.normal(size=WIDTH), rng.normal(size=WIDTH), 0.3)
    expected = []
    for own in texts:
        score = own @ probe.value + probe.bias
        drawn = {"attention_pooled": own @ probe.query, "softmax_pooled": score,
                 "max_pooled": 1e6 * score}[pooling]  # fmt: skip
        weight = np.exp(drawn - drawn.max())
        expected.append(weight @ score / weight.sum())
    for tokens_per_batch in (1, 6, 1000):
        states = stored(tmp_path, texts, tokens_per_batch)
        assert probe.logits(states, range(4)) == pytest.approx(expected, abs=1e-5)
        assert probe.logits(states, range(1, 3)) == pytest.approx(expected[1:3], abs=1e-5)
        assert not len(probe.logits(states, range(2, 2)))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_those_of_the_loss(
    pooling: Pooling, tmp_path: Path, harmful: np.ndarray
) -> None:
    states = stored(tmp_path, texts_of(harmful, 3.0, everywhere=False))
    standard = standard_of(states, harmful, LEARNED)
    numbers = np.random.default_rng(2).normal(size=2 * WIDTH + 1) / 2

    def loss(x: np.ndarray) -> float:
        return pooled._objective(pooling, x, standard, states, harmful, LEARNED)[0]

    _, gradient = pooled._objective(pooling, numbers, standard, states, harmful, LEARNED)
    expected = approx_fprime(numbers, loss, 1e-3)
    assert gradient == pytest.approx(expected, abs=5e-3)
    assert np.abs(gradient).max() > 0.05


def test_the_standard_is_scikit_learns(tmp_path: Path, harmful: np.ndarray) -> None:
    texts = texts_of(harmful, 3.0, everywhere=True)
    found = standard_of(stored(tmp_path, texts), harmful, LEARNED)
    scaler = StandardScaler().fit(np.concatenate(texts[: LEARNED.stop]))
    assert found.centre == pytest.approx(scaler.mean_, rel=1e-5)
    assert found.scale == pytest.approx(scaler.scale_, rel=1e-5)


def test_over_texts_of_one_token_a_probe_is_logistic_regression(
    tmp_path: Path, harmful: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle: with a single token there is nothing to pool."""
    monkeypatch.setattr(pooled, "STEPS", 500)
    texts = [own[:1] for own in texts_of(harmful, 2.0, everywhere=True)]
    states = stored(tmp_path, texts)
    own = np.concatenate(texts)
    scaler = StandardScaler().fit(own[: LEARNED.stop])
    oracle = LogisticRegression(C=1 / PENALTY, tol=1e-8).fit(
        scaler.transform(own[: LEARNED.stop]), harmful[: LEARNED.stop]
    )
    expected = oracle.decision_function(scaler.transform(own))
    for pooling in POOLINGS:
        probe = fit_pooled(pooling, states, harmful, LEARNED, range(0))
        assert probe.logits(states, range(len(own))) == pytest.approx(expected, abs=2e-2)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_token_of_many_is_found(pooling: Pooling, tmp_path: Path, harmful: np.ndarray) -> None:
    states = stored(tmp_path, texts_of(harmful, 6.0, everywhere=False))
    probe = fit_pooled(pooling, states, harmful, LEARNED, KNOWN)
    assert area(probe, states, harmful) > 0.97
    probe = PooledProbe("attention_pooled", probe.value, 0 * probe.query, probe.bias)
    assert area(probe, states, harmful) < 0.93, "a mean over tokens finds less"


@pytest.mark.parametrize("pooling", POOLINGS)
def test_shuffled_labels_show_nothing(
    pooling: Pooling, tmp_path: Path, harmful: np.ndarray
) -> None:
    states = stored(tmp_path, texts_of(harmful, 6.0, everywhere=True))
    shuffled = np.random.default_rng(3).permutation(harmful)
    honest, blind = (fit_pooled(pooling, states, k, LEARNED, KNOWN) for k in (harmful, shuffled))
    assert area(honest, states, harmful) > 0.95
    assert area(blind, states, shuffled) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_validation_texts_choose_when_to_stop(
    pooling: Pooling, tmp_path: Path, harmful: np.ndarray
) -> None:
    """Where they contradict the training texts, it is at the start."""
    states = stored(tmp_path, texts_of(harmful, 6.0, everywhere=True))
    against = harmful.copy()
    against[KNOWN.start : KNOWN.stop] ^= True
    with_them, without, stopped = (
        fit_pooled(pooling, states, truth, LEARNED, known)
        for truth, known in ((harmful, KNOWN), (harmful, range(0)), (against, KNOWN))
    )
    length = [float(np.linalg.norm(p.value)) for p in (with_them, without, stopped)]
    assert length[2] < min(length[:2])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_states_that_never_vary_are_defined(pooling: Pooling, tmp_path: Path) -> None:
    states = stored(tmp_path, [np.full((3, WIDTH), 7.0)] * 8)
    harmful = np.arange(8) % 2 == 0
    logits = fit_pooled(pooling, states, harmful, range(6), range(6, 8)).logits(states, range(8))
    assert np.isfinite(logits).all()
    assert np.ptp(logits) == 0


def test_memory_does_not_grow_with_the_number_of_texts(tmp_path: Path) -> None:
    """What is at hand is one batch, cut where a text ends."""
    lengths = tuple(1 + n % 7 for n in range(300))
    states = TokenStates(tmp_path / "tokens", lengths, WIDTH, tokens_per_batch=20)
    states.make()
    seen = [(texts, batch.shape, starts) for texts, batch, starts in states.batches(range(5, 290))]
    assert max(shape[0] for _, shape, _ in seen) <= 20
    assert [n for texts, _, _ in seen for n in texts] == list(range(5, 290))
    for texts, shape, starts in seen:
        own = [lengths[n] for n in texts]
        assert shape == (sum(own), WIDTH)
        assert np.diff(np.append(starts, shape[0])).tolist() == own
    assert isinstance(next(states.batches(range(3)))[1], np.memmap)
