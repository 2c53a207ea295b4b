"""Another labelled corpus beside the first: its texts are scored, and never learned from."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from pipeline.core.concepts import concepts_of
from pipeline.core.console import InputError
from pipeline.core.text_identity import LabelForms, normalised
from pipeline.corpora.corpus import Corpus
from pipeline.corpora.rows import Row, at_most, distinct, in_one_form, text_of


def beside(
    corpus: Corpus,
    rows: Iterable[Row],
    harmless: Callable[[str], bool],
    *,
    per_concept: float = 0,
    vote: bool = False,
) -> Corpus:
    """A corpus with the rows of another one as its `shifted` texts.

    Rows are kept or dropped as those of the first corpus are, and counted under `shifted_...`.
    Rows with a prompt of the first corpus are dropped too, and so are documents with a prompt of
    a shifted text. per_concept: at most so many texts of a concept, 0 for all. harmless: whether a
    label is. Concepts of one name are one concept, in the first corpus' form. Of a concept that the
    first corpus lacks, monitors are asked only whether it is harmful.

    Raises InputError where no text is left, or where monitors could be asked nothing about them.
    """
    forms = LabelForms((*corpus.safe, *concepts_of(corpus.examples)))
    kept, dropped = distinct(in_one_form(rows, forms), vote)
    of_one = {name: row for name, row in kept.items() if not row.also}
    if len(of_one) < len(kept):
        dropped["of_several_concepts"] = len(kept) - len(of_one)
    kept = of_one
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
        as_meant={**corpus.as_meant, "shifted_labels_in_another_form": forms.merged},
        shifted=tuple(texts),
    )
