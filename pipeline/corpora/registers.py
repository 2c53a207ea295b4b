"""Two ways of saying the same: messages that ask directly, and messages passed on by others."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.corpora import lexicon


@dataclass(frozen=True)
class Register:
    """Sentence forms of each kind of message, and the courtesies around them."""

    topics: tuple[str, ...]
    ambiguous_topics: tuple[str, ...]
    topic_answers: tuple[str, ...]
    requests: tuple[str, ...]
    framed: tuple[str, ...]
    ambiguous_requests: tuple[str, ...]
    refusals: tuple[str, ...]
    answers: tuple[str, ...]
    reasons: Mapping[str, tuple[str, ...]]
    greetings: tuple[str, ...]
    closings: tuple[tuple[str, str], ...]
    farewells: tuple[str, ...]


DIRECT = Register(
    topics=lexicon.TOPIC_FORMS,
    ambiguous_topics=lexicon.AMBIGUOUS_TOPIC_FORMS,
    topic_answers=lexicon.TOPIC_ANSWERS,
    requests=lexicon.REQUEST_FORMS,
    framed=lexicon.FRAMED_FORMS,
    ambiguous_requests=lexicon.AMBIGUOUS_REQUEST_FORMS,
    refusals=lexicon.REFUSALS,
    answers=lexicon.ANSWERS,
    reasons=lexicon.HARM_REASONS,
    greetings=lexicon.GREETINGS,
    closings=lexicon.CLOSINGS,
    farewells=lexicon.FAREWELLS,
)
REPORTED = Register(
    topics=lexicon.REPORTED_TOPIC_FORMS,
    ambiguous_topics=lexicon.REPORTED_AMBIGUOUS_TOPIC_FORMS,
    topic_answers=lexicon.REPORTED_TOPIC_ANSWERS,
    requests=lexicon.REPORTED_REQUEST_FORMS,
    framed=lexicon.REPORTED_FRAMED_FORMS,
    ambiguous_requests=lexicon.REPORTED_AMBIGUOUS_REQUEST_FORMS,
    refusals=lexicon.REPORTED_REFUSALS,
    answers=lexicon.REPORTED_ANSWERS,
    reasons=lexicon.REPORTED_REASONS,
    greetings=("",),
    closings=(("", ""),),
    farewells=lexicon.REPORTED_FAREWELLS,
)
