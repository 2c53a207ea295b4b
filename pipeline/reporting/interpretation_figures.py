"""Pictures of what is said of hidden states: stored numbers in, pictures by name out."""

from collections.abc import Mapping, Sequence

import pandas as pd

from pipeline.core.concepts import concept_named, file_name_of, spoken
from pipeline.core.records import TokenInterpretation
from pipeline.reporting.bars import grouped_bars
from pipeline.reporting.curves import moved_curves
from pipeline.reporting.figures import ESTIMATE, SCORED_ON, Metrics, table
from pipeline.reporting.glossary import INJECTED
from pipeline.reporting.heat_maps import token_table
from pipeline.reporting.redaction import Redaction
from pipeline.reporting.style import looks
from pipeline.reporting.svg import Picture

NUM_TEXTS = 2  # whose tokens are shown; a picture of one is a page long
OWN = "itself, its states"
READERS = {
    "base_reader": "base, its states",
    "base_state": "itself, base's states",
    "probe": "a probe, its states",
}
LABEL_OF_DIRECTION = {
    "concept": "towards another concept",
    "random": "as far in a random direction",
}


def of_interpretations(
    selfie: Mapping[str, Metrics], layer: int, position: str
) -> dict[str, Picture]:
    """How often an interpretation names its state's concept, beside every control, and the
    concept of the nearest training text."""
    bars = table(
        (SCORED_ON[split], name, label, tree[f"layer_{layer}"][split][position][control])
        for split in SCORED_ON
        for name, tree in selfie.items()
        if split in tree[f"layer_{layer}"]
        for control, label in INJECTED.items()
    )
    words = "nearest training text, in words", _heights(selfie, position, "nearest_text")
    return {
        "interpretation": grouped_bars(
            bars, "the share of interpretations that name the concept, by what was injected", words
        )
    }


def of_crossings(selfie: Mapping[str, Metrics], layer: int, position: str) -> dict[str, Picture]:
    """Who reads whose states, and how much of the concept the very same states hold."""
    bars = table(
        (SCORED_ON[split], name, label, estimate)
        for split in SCORED_ON
        for name, tree in selfie.items()
        if split in tree["crossed"]
        for label, estimate in (
            (OWN, tree[f"layer_{layer}"][split][position]["state"]),
            *((label, tree["crossed"][split][position][r]) for r, label in READERS.items()),
        )
    )
    taught = "reader training alone", _heights(selfie, position, "reader_only")
    return {"crossings": grouped_bars(bars, "the concepts that a reader names", taught)}


def of_moved(selfie: Mapping[str, Metrics], position: str) -> dict[str, Picture]:
    """How often a moved state is read as the concept that it was moved to, by how far; nothing
    where a single concept is known."""
    points = pd.DataFrame(
        [
            (label, name, int(size.removeprefix("by_")),
             *(shares["target"][part] for part in ESTIMATE))
            for name, tree in selfie.items()
            if "moved" in tree
            for direction, label in LABEL_OF_DIRECTION.items()
            for size, shares in tree["moved"][position][direction].items()
        ],
        columns=["direction", "variant", "per cent", *ESTIMATE],
    ).sort_values("per cent", kind="stable")  # fmt: skip
    return {} if points.empty else {"moved": moved_curves(points, looks(list(selfie)))}


def _heights(selfie: Mapping[str, Metrics], position: str, name: str) -> dict[str, float]:
    """What is the same for every variant, by the panel that it stands in."""
    crossed = next(iter(selfie.values()))["crossed"]
    return {
        SCORED_ON[split]: crossed[split][position][name]["value"]
        for split in SCORED_ON
        if split in crossed
    }


def of_tokens(
    read: Mapping[str, Sequence[TokenInterpretation]],
    concepts: Sequence[str],
    redaction: Redaction,
) -> dict[str, Picture]:
    """What every token's state is read as, layer by layer: a picture a text, of the first few. Of
    a redacted text, tokens are shown by their index."""
    cells = pd.DataFrame(
        [
            (cell.example, cell.concept, variant, cell.layer, cell.place,
             f"token {cell.place}" if redaction.hides(cell.concept) else cell.token,
             spoken(concept_named(cell.text, concepts) or ""), max(cell.relevancy, default=0.0))
            for variant, cells in read.items()
            for cell in cells
        ],
        columns=["example", "concept", "variant", "layer", "index", "token", "named", "relevancy"],
    )  # fmt: skip
    texts = cells.drop_duplicates("example")[:NUM_TEXTS].itertuples()
    return {
        f"tokens_{file_name_of(str(text.concept))}": token_table(
            cells[cells["example"] == text.example],
            redaction("", str(text.concept), str(text.example)),
        )
        for text in texts
    }
