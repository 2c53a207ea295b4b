"""Another labelled corpus beside the first: its texts are scored, and never learned from."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from pipeline.core.concepts import concepts_of, normalised
from pipeline.core.console import InputError
from pipeline.corpora.corpus import Corpus
from pipeline.corpora.rows import Row, at_most, distinct, text_of


def beside(
    corpus: Corpus,
    rows: Iterable[Row],
    harmless: Callable[[str], bool],
    *,
    per_concept: float = 0,
    vote: bool = False,
) -> Corpus:
    """A corpus with another one's rows as its `shifted` texts.

    Rows are kept, or counted as dropped under `shifted_...`, as those of the first corpus are; a
    prompt that the first one holds is dropped, and so are documents of the prompts that are kept.
    `per_concept` (0: all) is the most texts of a concept. Concepts of the same name are the same.
    One that the first corpus does not have is harmless or a harm, and no more is asked of it.

    Raises InputError where no text is left, or where nothing could be asked of any.
    """
    kept, dropped = distinct(rows, vote)
    known = {normalised(example.prompt) for example in corpus.examples}
    texts = [
        text_of(name, row, "shifted", harmless(row.label))
        for name, row in kept.items()
        if normalised(row.prompt) not in known
    ]
    dropped["prompts_known"] = len(kept) - len(texts)
    if per_concept:
        enough = at_most(texts, {"shifted": per_concept})
        dropped["beyond_per_concept"] = len(texts) - len(enough)
        texts = enough
    if not texts:
        raise InputError(
            "the shifted corpus has no text whose prompt the first one does not hold; choose "
            "another, or none"
        )
    labels = {text.concept for text in texts}
    if not corpus.safe and labels.isdisjoint(concepts_of(corpus.examples)):
        raise InputError(
            "the shifted corpus has no concept of the first one, none of whose concepts is "
            "harmless: nothing could be asked of it; choose another, or none"
        )
    held_out = {normalised(text.prompt) for text in texts}
    documents = [d for d in corpus.documents if normalised(d.prompt) not in held_out]
    counts = {f"shifted_{reason}": count for reason, count in dropped.items()}
    if len(documents) < len(corpus.documents):
        counts["documents_held_out"] = (
            corpus.dropped.get("documents_held_out", 0) + len(corpus.documents) - len(documents)
        )
    # Where no concept of the first corpus means harm, none is harmless either.
    safe = sorted(filter(harmless, labels - {*corpus.safe})) if corpus.safe else ()
    return replace(
        corpus,
        documents=tuple(documents),
        safe=(*corpus.safe, *safe),
        dropped=corpus.dropped | counts,
        shifted=tuple(texts),
    )
