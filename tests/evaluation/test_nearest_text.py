"""The nearest training text names its own concept, and words that tell nothing name none above
chance."""

import numpy as np

from pipeline.evaluation.nearest_text import nearest_text_concepts


def test_the_text_with_the_same_words_is_nearest() -> None:
    seen = ["a court rules on a law", "cells divide in a body", "a judge reads a law"]
    asked = ["which law did the judge read", "how does a body divide", "cells"]
    found = nearest_text_concepts(seen, ["law", "biology", "law"], asked)
    assert found == ["law", "biology", "biology"]


def test_a_seen_text_is_its_own_nearest() -> None:
    rng = np.random.default_rng(0)
    seen = [" ".join(rng.permutation([f"w{n}" for n in range(40)])[:8]) for _ in range(30)]
    concepts = [f"c{n}" for n in range(30)]
    assert nearest_text_concepts(seen, concepts, seen) == concepts


def test_words_that_all_concepts_share_are_at_chance() -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice([f"w{n}" for n in range(50)], 12)) for _ in range(400)]
    concepts = [("law", "biology")[n] for n in rng.integers(2, size=400)]
    found = nearest_text_concepts(texts[:200], concepts[:200], texts[200:])
    right = np.mean([a == b for a, b in zip(found, concepts[200:], strict=True)])
    assert 0.4 < right < 0.6


def test_unseen_words_give_the_first_text() -> None:
    assert nearest_text_concepts(["law", "cell"], ["x", "y"], ["unseen"]) == ["x"]
