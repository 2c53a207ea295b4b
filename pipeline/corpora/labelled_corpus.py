"""How labelled rows, of whatever source, become a corpus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.core.concepts import requests_of
from pipeline.core.records import Document, Example, Question, Request, Split
from pipeline.core.text_identity import LabelForms, first_of_each, normalised
from pipeline.corpora.corpus import Corpus
from pipeline.corpora.questions import option_question
from pipeline.corpora.rows import Row, at_most, distinct, in_one_form, splitter, text_of


@dataclass(frozen=True)
class Rules:
    """Which texts rows become.

    safe: the harmless labels. validation, test: these splits' shares of the prompts, in [0, 1);
    the others are trained on. seed: enters the choice of split. per_concept: at most so many
    training texts of a concept, 0 for all; its other splits shrink in proportion. vote: texts that
    stand under several labels keep the most frequent one instead of being dropped.
    """

    safe: Sequence[str]
    validation: float
    test: float
    seed: int
    per_concept: int = 0
    vote: bool = False

    def most(self) -> dict[Split, float]:
        """At most so many texts of a concept in each split."""
        per_share = self.per_concept / (1 - self.validation - self.test)
        return {
            "train": self.per_concept,
            "validation": per_share * self.validation,
            "test": per_share * self.test,
        }


def labelled_corpus(
    rows: Iterable[Row],
    rules: Rules,
    licence: str,
    sources: Mapping[str, Mapping[str, str]] | None = None,
    *,
    documents: Sequence[Document] | None = None,
    requests: Sequence[Request] = (),
) -> Corpus:
    """Labelled rows as a corpus: every row is kept, or counted as dropped.

    Repeated texts are dropped, and labels that are the same to a reader are one. Texts are split by
    prompt, so that no prompt stands in two splits. Held-out texts of several concepts are dropped:
    what is measured is asked of one. Without `documents`, training and validation
    texts are the documents. `requests` are asked beside the test prompts. Documents of held-out
    prompts are dropped, and so are requests whose prompts are trained on, validated on, or asked
    already.
    """
    forms = LabelForms(rules.safe)
    safe = tuple(dict.fromkeys(map(forms.of, rules.safe)))
    kept, dropped = distinct(in_one_form(rows, forms), rules.vote)
    texts = _texts(kept, dropped, safe, rules)
    examples = [text for text in texts if not text.also]
    several = [text for text in texts if text.also and text.split == "train"]
    if held_out_sets := len(texts) - len(examples) - len(several):
        dropped["of_several_concepts_and_held_out"] = held_out_sets
    own = requests_of(examples, safe, "test")
    held_out = _prompts(examples) - _prompts(e for e in examples if e.split == "train")
    known = _prompts(e for e in (*examples, *several) if e.split != "test") | _prompts(own)
    to_read = [d for d in documents or () if normalised(d.prompt) not in held_out]
    new = [request for request in requests if normalised(request.prompt) not in known]
    asked = first_of_each(new, lambda request: request.prompt)
    if documents:
        dropped["documents_held_out"] = len(documents) - len(to_read)
    if requests:
        dropped["requests_known"] = len(requests) - len(asked)
    return Corpus(
        examples=tuple(examples),
        described=tuple(_described(e) for e in examples if e.split == "train"),
        documents=tuple(_documents((*examples, *several)) if documents is None else to_read),
        requests=(*own, *asked),
        safe=safe,
        dropped=dropped,
        as_meant={"labels_in_another_form": forms.merged},
        licence=licence,
        sources=sources or {},
        several=tuple(several),
        questions=tuple(_questions(examples, kept)),
    )


def _texts(
    kept: Mapping[str, Row], dropped: dict[str, int], safe: Sequence[str], rules: Rules
) -> list[Example]:
    """The texts that rows by digest become; those beyond the most of a concept count as dropped."""
    split_of = splitter(rules.validation, rules.test, rules.seed)
    examples = [
        text_of(
            name, row, split_of(row.prompt), all(label in safe for label in row.labels) or not safe
        )
        for name, row in kept.items()
    ]
    if rules.per_concept:
        enough = at_most(examples, rules.most())
        dropped["beyond_per_concept"] = len(examples) - len(enough)
        examples = enough
    return examples


def _questions(examples: Sequence[Example], kept: Mapping[str, Row]) -> Iterator[Question]:
    """What test prompts ask that list options, each prompt once."""
    asked = [e for e in examples if e.split == "test"]
    for example in first_of_each(asked, lambda one: one.prompt):
        said = kept[example.id].said or example.response
        question = option_question(example.id, example.prompt, said)
        if question:
            yield question


def _prompts(texts: Iterable[Example | Request]) -> set[str]:
    return {normalised(text.prompt) for text in texts}


def _described(example: Example) -> Example:
    """A training text as one that teaches an embedded base model its concept's name."""
    return replace(example, id=f"described-{example.id}", split="described")


def _documents(examples: Sequence[Example]) -> list[Document]:
    """Training texts to learn the language from; validation texts to measure perplexity on."""
    splits: dict[str, Split] = {"train": "pretrain", "validation": "heldout"}
    return [
        Document(f"{splits[e.split]}-{e.id}", e.prompt, e.response, splits[e.split])
        for e in examples
        if e.split in splits
    ]
