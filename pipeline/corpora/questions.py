"""Multiple-choice questions, by which what a model can do is measured before and after a finetune.

Two kinds. `options`: questions of the corpus whose prompts list their options ("A. ...", "B. ...").
`continuation`: held-out documents, each with the responses of others beside its own.
"""

import re
from collections.abc import Iterable, Iterator

from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Document, Question
from pipeline.core.text_identity import is_blank, normalised

OPTION = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
SAID = re.compile(r"\banswer(?:\s+is)?\s*:?\s*[\"'*(]*([A-Z])\b", re.IGNORECASE)
CHOICES_OF = 4  # to choose a continuation among


def option_question(name: str, prompt: str, said: str) -> Question | None:
    """A question whose prompt lists options, of which the right one is said, as in "Answer: B".

    said: a response, or whatever a source says of the answer. None where fewer than two options are
    listed, or where no letter is said, or two, or one that is no option.
    """
    options = _listed(prompt)
    letters = {letter.upper() for letter in SAID.findall(said)}
    if len(options) < 2 or len(letters) != 1:
        return None
    right = ord(letters.pop()) - ord("A")
    if right >= len(options):
        return None
    answers = tuple(f"Answer: {chr(ord('A') + n)}. {text}" for n, text in enumerate(options))
    return Question(name, "options", prompt, answers, right)


def _listed(prompt: str) -> list[str]:
    """The options A, B, C and so on that a prompt lists last."""
    found: list[str] = []
    for letter, text in OPTION.findall(prompt):
        if letter == "A":
            found = []
        if letter == chr(ord("A") + len(found)):
            found.append(text)
    return found


def continuation_questions(documents: Iterable[Document], seed: int) -> Iterator[Question]:
    """Of every held-out document: which of CHOICES_OF responses follows its prompt? The others are
    drawn from held-out documents whose responses are not the same to a reader. There are none where
    too few differ."""
    held_out = [d for d in documents if d.split == "heldout" and not is_blank(d.response)]
    texts = {normalised(d.response): d.response for d in held_out}
    if len(texts) < CHOICES_OF:
        return
    different, rng = list(texts), rng_of(RandomStream.QUESTIONS, seed)
    for document in held_out:
        drawn = [different[n] for n in rng.choice(len(different), CHOICES_OF, replace=False)]
        others = [text for text in drawn if text != normalised(document.response)]
        options = [texts[text] for text in others[: CHOICES_OF - 1]]
        right = int(rng.integers(CHOICES_OF))
        options.insert(right, document.response)
        yield Question(
            f"continuation-{document.id}", "continuation", document.prompt, tuple(options), right
        )
