"""What the words alone lead to: the concept of the nearest training text."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer


def nearest_text_concepts(
    seen: Sequence[str], concepts: Sequence[str], asked: Sequence[str]
) -> list[str]:
    """For each asked text, the concept of the seen text whose words are nearest: the greatest
    cosine of TF-IDF vectors of words and pairs of words, and of equal ones the first."""
    vectors = TfidfVectorizer(ngram_range=(1, 2)).fit(seen)
    cosines = vectors.transform(asked) @ vectors.transform(seen).T
    return [concepts[index] for index in np.asarray(cosines.argmax(1)).ravel()]
