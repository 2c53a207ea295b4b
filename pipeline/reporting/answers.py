"""What a reader asks first, and what the numbers answer: the first screen of the page.

The first four questions are of any finetune: what changed, by how much beside the best that the
untouched model has, at what cost, and whether it is real. A gain is real where shuffled labels
give surely less: all of the control's interval, and of its band over seeds, lies below all of the
gain's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.reporting.comparison import Beside, Line, Marks, corrected, is_clear
from pipeline.reporting.glossary import MEANINGS
from pipeline.reporting.headline import READ_SPLITS

ON_FIRST_SCREEN = 4  # answers that stand on the first screen
APART = "silhouette"
PARTED = (APART, "centroid_accuracy", "knn_accuracy", "cosine_within", "cosine_between",
          "coding_rate_gap", "kl_to_base")  # fmt: skip
READ_BEST, ABOVE, WORDS = "best_probe", "above_best_frozen", "words_accuracy"
COSTS = ("perplexity", "harmful_rate", "over_refusal_rate", "refusal_gap", "monitor_auroc",
         "kl_of_openings")  # fmt: skip
NAMING, GUESSING = "selfie_accuracy", "selfie_control_accuracy"
FIXED_READER, READER_ALONE = "selfie_base_reader_accuracy", "selfie_reader_only_accuracy"
WORDS_ALONE = "selfie_input_only_accuracy"  # what the words alone would have given
MOST_SHOWN = 3  # lines of an answer that stand open


@dataclass(frozen=True)
class Answer:
    """A question, its answer in a few words, the numbers that give it, and, folded, others that
    belong to it."""

    question: str
    reply: str
    shown: Sequence[Line]
    folded: Sequence[Line] = ()


def answers(beside: Beside, lead: Line, controls: Mapping[str, Beside]) -> list[Answer]:
    """The answers of one finetuned variant beside the untouched model.

    lead: how far interpretations are above the best control, text by text. controls: variants
    finetuned alike on shuffled labels.
    """
    return [
        _changed(beside),
        _read(beside),
        _cost(beside),
        _real(beside, controls),
        _names(beside, lead),
        _readable(beside),
    ]


def _changed(beside: Beside) -> Answer:
    replies = {"better": "Concepts lie further apart", "worse": "Concepts lie closer together"}
    reply = replies.get(beside.change(APART).outcome, "Nothing that is clear")
    return Answer(
        "What did the finetune change?", reply, beside.lines(PARTED[:1]), beside.lines(PARTED[1:])
    )


def _read(beside: Beside) -> Answer:
    """Each model's best probe, chosen alike on validation texts; then where the variant is read,
    and words alone."""
    clear = {number: marks["value"] for number, marks in _best(beside).items() if is_clear(marks)}
    ways = {
        "better": [_split(number) for number, value in clear.items() if value > 0],
        "worse": [_split(number) for number, value in clear.items() if value < 0],
    }
    said = [f"{way} on {', '.join(splits)} texts" for way, splits in ways.items() if splits]
    reply = "; ".join(said).capitalize() or "Not clearly"
    shown = beside.lines([f"{READ_BEST}{end}" for end in READ_SPLITS])
    folded = [f"{name}{end}" for end in READ_SPLITS for name in (ABOVE, WORDS)]
    question = "Is more read from it than from the untouched model at its best?"
    return Answer(question, reply, shown, beside.lines(folded))


def _cost(beside: Beside) -> Answer:
    """Every number that should not get worse, and how far the answers' first words went; those
    that are worse stand first."""
    judged = beside.judged(COSTS)
    worse = [number for number in judged if beside.change(number).outcome == "worse"]
    reply = f"{len(worse)} of {len(judged)} clearly worse" if worse else "None that is clear"
    first = [*worse, *(number for number in judged if number not in worse)][:MOST_SHOWN]
    rest = [number for number in COSTS if number not in first]
    return Answer("At what cost?", reply, beside.lines(first), beside.lines(rest))


def _real(beside: Beside, controls: Mapping[str, Beside]) -> Answer:
    """Whether shuffled labels give surely less of every clear gain, and do not raise the best
    probe, which nothing but labels should."""
    gains = [number for number, marks in _gains(beside).items() if is_gain(marks)]
    held = [
        number
        for number in gains
        if all(is_below(_gains(other).get(number), _gains(beside)[number])
               for other in controls.values())
    ]  # fmt: skip
    raised = [n for n, other in controls.items() if other.change(READ_BEST).outcome == "better"]
    numbers = {
        name: other.lines([*(gains or _gains(other)), READ_BEST])
        for name, other in controls.items()
    }
    lines = [
        replace(line, label=f"{line.label}, {name}")
        for name, own in numbers.items()
        for line in own
    ]
    reply = _said_of_gains(gains, held)
    if not controls:
        reply = "Not known: no variant has shuffled labels"
    elif raised:
        reply = "No: shuffled labels help a probe as well"
    return Answer("Is it real?", reply, lines[:MOST_SHOWN], lines[MOST_SHOWN:])


def _said_of_gains(gains: Sequence[str], held: Sequence[str]) -> str:
    if not gains:
        return "No gain is clear"
    if not held:
        return "No: shuffled labels give as much"
    if len(held) < len(gains):
        return f"Yes for {'; '.join(MEANINGS[number].label for number in held)}; not for the rest"
    return "Yes: shuffled labels give less"


def _gains(beside: Beside) -> dict[str, Marks]:
    """What a variant gains, each as a difference."""
    apart = {APART: beside.differences[APART]} if APART in beside.differences else {}
    return apart | _best(beside)


def _best(beside: Beside) -> dict[str, Marks]:
    """How far the best probe lies above the best frozen one, on all kinds of texts."""
    named = [f"{READ_BEST}{end}" for end in READ_SPLITS]
    changed = beside.differences
    return corrected({name: changed[name] for name in named if name in changed})


def _split(number: str) -> str:
    return READ_SPLITS[number.removeprefix(READ_BEST)]


def is_gain(marks: Marks) -> bool:
    return is_clear(marks) and marks["value"] > 0


def is_below(control: Marks | None, gain: Marks) -> bool:
    """Whether all that is known of a control lies below all that is known of a gain; so it does
    where the control has no such number."""
    if control is None:
        return True
    highest = max(control["high"], control.get("seeds_high", control["high"]))
    return highest < min(gain["low"], gain.get("seeds_low", gain["low"]))


def _names(beside: Beside, lead: Line) -> Answer:
    """Clear where the lead's interval lies above 0, and its band over seeds too."""
    reply = "Yes" if lead.after["low"] > 0 and is_clear(lead.after) else "Not clearly"
    alone, numbers = replace(lead, before=None, paired=None), (NAMING, GUESSING, WORDS_ALONE)
    folded = [lead, *beside.lines(numbers)]
    return Answer("Can the model name what it thinks of?", reply, [alone], folded)


def _readable(beside: Beside) -> Answer:
    """To a reader that no finetune touched: the untouched model. Reader training alone is what the
    variant's own reading must beat for its states to have helped."""
    replies = {"better": "Yes", "worse": "No, less"}
    reply = replies.get(beside.change(FIXED_READER).outcome, "Not clearly")
    shown, folded = beside.lines((FIXED_READER,)), beside.lines((NAMING, READER_ALONE))
    return Answer("Can the base model read the finetuned states better?", reply, shown, folded)
