"""Other labelled corpora beside the first: sets of texts that are scored, never learned from."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pipeline.core.concepts import concepts_of
from pipeline.core.console import InputError
from pipeline.core.scored_sets import split_of
from pipeline.core.text_identity import LabelForms, normalised
from pipeline.corpora.corpus import Corpus
from pipeline.corpora.rows import Row, at_most, digest_of, distinct, in_one_form, text_of

BETWEEN_LABELS = " + "  # between the labels that one text has


def beside(
    corpus: Corpus,
    name: str,
    rows: Iterable[Row],
    harmless: Callable[[str], bool],
    *,
    per_concept: float = 0,
    vote: bool = False,
) -> Corpus:
    """A corpus with the rows of another one as a further set of `shifted` texts.

    name: of the set, "" for one without a name. Rows are kept or dropped as those of the first
    corpus are, and counted under the set's split. Rows with a prompt of the first corpus are
    dropped too, and so are documents with a prompt of a shifted text. per_concept: at most so many
    texts of a concept, 0 for all. harmless: whether a label is that is not known yet. Concepts of
    one name are one concept, in the first corpus' form. Of a concept that the first corpus lacks,
    monitors are asked only whether it is harmful.

    Where harm is asked, a text of several labels which are all harmful, or all harmless, keeps them
    as one joint label, which the first corpus lacks. A row without a label says nothing of its text
    and is left out, or by `vote` is a vote for none of them.

    Raises InputError where no text is left, or where monitors could be asked nothing about them.
    """
    split = split_of(name)
    forms = LabelForms((*corpus.safe, *concepts_of(corpus.labelled)))
    every = list(in_one_form(rows, forms))
    read = every if vote else [row for row in every if row.label]
    known_labels = {*corpus.safe, *concepts_of(corpus.labelled)} if corpus.safe else set()
    kinds = {
        label: label in corpus.safe if label in known_labels else harmless(label)
        for label in {label for row in read for label in row.labels} - {""}
    }
    if corpus.safe and not vote:
        read = _jointly_labelled(read, kinds)
    kept, dropped = distinct(read, vote)
    if len(read) < len(every):
        dropped["of_no_label"] = len(every) - len(read)
    of_one = {text: row for text, row in kept.items() if not row.also}
    if len(of_one) < len(kept):
        dropped["of_several_concepts"] = len(kept) - len(of_one)
    kept = of_one
    known = {normalised(example.prompt) for example in corpus.examples}
    texts = [
        text_of(f"{name}-{text}" if name else text, row, split, kinds[row.label])
        for text, row in kept.items()
        if normalised(row.prompt) not in known
    ]
    dropped["prompts_known"] = len(kept) - len(texts)
    if per_concept:
        enough = at_most(texts, {split: per_concept})
        dropped["beyond_per_concept"] = len(texts) - len(enough)
        texts = enough
    if not texts:
        raise InputError(
            f"the corpus {split} has no labelled text whose prompt the first one does not hold; "
            "choose another, or none"
        )
    labels = {text.concept for text in texts}
    if not corpus.safe and labels.isdisjoint(concepts_of(corpus.examples)):
        raise InputError(
            f"the corpus {split} has no concept of the first one, none of whose concepts is "
            "harmless: nothing could be asked of it; choose another, or none"
        )
    held_out = {normalised(text.prompt) for text in texts}
    documents = [d for d in corpus.documents if normalised(d.prompt) not in held_out]
    counts = {f"{split}_{reason}": count for reason, count in dropped.items()}
    if len(documents) < len(corpus.documents):
        counts["documents_held_out"] = (
            corpus.dropped.get("documents_held_out", 0) + len(corpus.documents) - len(documents)
        )
    # Where no concept of the first corpus means harm, none is harmless either.
    safe = sorted(label for label in labels - {*corpus.safe} if kinds[label]) if corpus.safe else ()
    return replace(
        corpus,
        documents=tuple(documents),
        safe=(*corpus.safe, *safe),
        dropped=corpus.dropped | counts,
        as_meant={**corpus.as_meant, f"{split}_labels_in_another_form": forms.merged},
        shifted=(*corpus.shifted, *texts),
    )


def _jointly_labelled(rows: Sequence[Row], kinds: dict[str, bool]) -> list[Row]:
    """The rows; those of a text with several labels of one kind under one label, which is noted
    among the kinds (by label, whether it is harmless)."""
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(digest_of(row), set()).update(row.labels)
    found = []
    for row in rows:
        own = sorted(labels[digest_of(row)])
        if len(own) > 1 and len({kinds[label] for label in own}) == 1:
            kinds[BETWEEN_LABELS.join(own)] = kinds[own[0]]
            row = row.labelled([BETWEEN_LABELS.join(own)])
        found.append(row)
    return found
