"""One page that shows a run: its answer, its numbers, its pictures, its words, where it is from."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from pipeline.core.concepts import balanced, spoken
from pipeline.core.files import whole
from pipeline.core.records import Interpretation
from pipeline.core.sections import Asking, Section
from pipeline.reporting.comparison import Beside, Line, answers, changes_from_baseline
from pipeline.reporting.glossary import INJECTED, MEANINGS
from pipeline.reporting.headline import Headline
from pipeline.reporting.seed_band import SeedValues
from pipeline.reporting.svg import alt_of

PAGE_TEMPLATE = Path(__file__).with_name("page.html.jinja")
BASE = "base"
LEAD, LEAD_CHANGE = "lead over the best control", "change from base"
JUDGE_HEADINGS = ("lead by the judge model", "its change from base")

# What stands above and below each picture, in the page's order; what a picture shows, with its
# numbers, is inside of its file.
EVIDENCE = {
    "Where texts lie": {
        "map": "Held-out texts before and after. t-SNE keeps neighbours, PCA the two longest axes "
        "of the training texts; the share counts texts whose nearest neighbour on that map is of "
        "their own concept.",
        "cosines": "Mean cosine between test texts, concept by concept, after centring. A bright "
        "diagonal on a dark ground is separation.",
        "separation": "Accuracy on held-out texts, every variant, with 95 % intervals. The dashed "
        "line needs no model.",
        "layers": "Layer by layer, at each position that was read; 0 is the embeddings, bands are "
        "95 % intervals, the dotted line is the layer that headline numbers come from.",
        "transport": "The margin that transport normalises, which should bound how much accuracy "
        "is lost on held-out texts, beside the loss that was measured; a point a layer.",
    },
    "What monitors see": {
        "roc": "Harm that is found against false alarms, on held-out texts.",
        "reliability": "How often a monitor is right where it is so confident.",
    },
    "What the model does": {
        "behaviour": "Harmful requests answered and safe requests refused; both are wrong.",
        "tradeoff": "Each harm against another: lower left is better. The stepped line joins the "
        "variants that none beats in both.",
        "control": "Rates before and after each edit of the hidden state.",
    },
    "What the model says of itself": {
        "interpretation": "How often the model's own description of a hidden state names its "
        "concept, beside what it says where something else was injected.",
        "tokens": "One text, from top to bottom: the concept that is named when a token's state is "
        "put into words, layer by layer; lighter where the state was more relevant to the words.",
    },
    "How the finetunes went": {
        "training": "Each term over steps, for the variants that it moves; gap and kl are read on "
        "validation texts.",
    },
}


@dataclass(frozen=True)
class ReportContents:
    """All that a page shows. differences: the paired ones of every row from the untouched model's,
    corrected for their number, nothing of that model itself; compared: variants side by side;
    controls: those with shuffled labels; selfie: how far each variant's interpretations lead, by
    heading, and judge: what the judge model is worth; refusal_rule: the same of the rule that
    judges answers; seeds: whose bands stand in estimates; read_at: the layer and position of
    headline numbers."""

    rows: Mapping[str, Headline]
    differences: Mapping[str, Headline]
    baseline: Mapping[str, Mapping[str, float]]
    compared: Sequence[str]
    controls: Sequence[str]
    manifest: Mapping[str, Any]
    card: Mapping[str, Any]
    text_only: Mapping[str, Any]
    words: Mapping[str, Sequence[Interpretation]]
    selfie: Mapping[str, Mapping[str, Any]]
    judge: Mapping[str, Mapping[str, float]]
    refusal_rule: Mapping[str, Any]
    seeds: SeedValues
    figures: Path
    pins: Mapping[str, str]
    params: Mapping[str, Any]
    read_at: str


def render_report(run: ReportContents) -> str:
    """HTML that stands alone: pictures are inside it, and nothing is fetched. Every text is
    escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)  # fmt: skip
    environment.filters |= {"spoken": spoken, "number": rounded, "signed": signed}
    beside = {
        name: Beside(run.rows[BASE], row, run.differences[name])
        for name, row in run.rows.items()
        if name != BASE
    }
    shuffled = {name: beside[name] for name in run.controls}
    trusted = is_above_chance(run.judge, len(run.manifest["concepts"]))
    headings = dict.fromkeys(heading for own in run.selfie.values() for heading in own)
    return environment.from_string(PAGE_TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        answers={
            name: answers(beside[name], lead_of(run.selfie, name), shuffled)
            for name in run.compared
            if name != BASE
        },
        groups=grouped_numbers(run.rows),
        meanings=MEANINGS,
        injected=INJECTED,
        beside=beside,
        changes_from_baseline=changes_from_baseline(run.rows, run.baseline),
        evidence=evidence(run.figures),
        said=said_of_states(run.words),
        leads=[heading for heading in headings if trusted or heading not in JUDGE_HEADINGS],
        trusted=trusted,
        settings=dict(flattened(run.params)),
    )


def write_report(path: Path, page: str) -> None:
    with whole(path) as draft:
        draft.write_text(page, encoding="utf-8", newline="\n")


def grouped_numbers(rows: Mapping[str, Headline]) -> dict[str, list[str]]:
    """The headline numbers that any variant has, by what they are about."""
    shown = [name for name in MEANINGS if any(name in row for row in rows.values())]
    return {
        group: list(names) for group, names in groupby(shown, lambda name: MEANINGS[name].group)
    }


def evidence(figures: Path) -> dict[str, list[dict[str, str]]]:
    """The pictures that were drawn, by section: name, caption, alternative text, light and dark.
    Pictures of one kind (`tokens_safe`, `tokens_fraud`) share its caption.

    Raises KeyError for a picture that no section shows.
    """
    drawn = {path.stem for path in (figures / "light").glob("*.svg")}
    sections: dict[str, list[dict[str, str]]] = {}
    for section, captions in EVIDENCE.items():
        sections[section] = [
            {
                "name": name,
                "caption": caption,
                "alt": alt_of(figures / "light" / f"{name}.svg"),
                "light": inlined(figures / "light" / f"{name}.svg"),
                "dark": inlined(figures / "dark" / f"{name}.svg"),
            }
            for kind, caption in captions.items()
            for name in sorted(drawn)
            if name == kind or name.startswith(f"{kind}_")
        ]
        drawn -= {picture["name"] for picture in sections[section]}
    if drawn:
        raise KeyError(f"no section of the report shows {', '.join(sorted(drawn))}")
    return {section: pictures for section, pictures in sections.items() if pictures}


def said_of_states(
    words: Mapping[str, Sequence[Interpretation]],
) -> list[tuple[str, dict[str, str], dict[str, str]]]:
    """One text of each concept: what every variant says of its state, and what the last one says
    where something else was injected."""
    said = {
        variant: {(i.example, i.control): i.text for i in interpretations}
        for variant, interpretations in words.items()
    }
    last = list(words)[-1]
    states = [i for i in words[last] if i.control == "state"]
    controls = sorted({i.control for i in words[last]} - {"state"})
    return [
        (
            state.concept,
            {variant: texts.get((state.example, "state"), "") for variant, texts in said.items()},
            {control: said[last].get((state.example, control), "") for control in controls},
        )
        for state in balanced(states, len({state.concept for state in states}))
    ]


def faithfulness(selfie: Mapping[str, Any], asking: Asking) -> dict[str, Mapping[str, float]]:
    """How far a variant's interpretations are above the best control, by their heading: by rule and
    as the judge model chooses, and both above the untouched model; what there is of these."""

    def at(tree: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in (f"layer_{asking.layer}", "test", asking.positions[0]):
            tree = tree.get(name, {})
        return tree

    judged = selfie.get("judged", {})
    found = {
        LEAD: at(selfie).get("lead"),
        LEAD_CHANGE: at(selfie.get("difference", {})).get("lead"),
        JUDGE_HEADINGS[0]: at(judged).get("lead"),
        JUDGE_HEADINGS[1]: at(judged.get("difference", {})).get("lead"),
    }
    return {heading: estimate for heading, estimate in found.items() if estimate}


def lead_of(selfie: Mapping[str, Mapping[str, Any]], variant: str) -> Line:
    """How far a variant's interpretations lead, beside the untouched model's, as the page's table
    tells it."""
    own = selfie[variant]
    return Line(LEAD, selfie[BASE][LEAD], own[LEAD], own[LEAD_CHANGE])


def is_above_chance(judge: Mapping[str, Mapping[str, float]], concepts: int) -> bool:
    """Whether the interval of a judge's agreement with the rule lies above that of a blind one."""
    return "agreement" in judge and judge["agreement"]["low"] > 1 / concepts


def flattened(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Leaves by their dotted names."""
    leaves = []
    for key, entry in tree.items():
        value = entry.model_dump() if isinstance(entry, Section) else entry
        if isinstance(value, Mapping) and value:
            leaves += flattened(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            leaves.append((f"{prefix}{key}", text))
    return leaves


def read_pins(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The versions that constraints.txt pins of some packages."""
    lines = (line.partition("==") for line in path.read_text(encoding="utf-8").splitlines())
    pins = {name.lower(): version for name, _, version in lines if version}
    return {name: pins[name.lower()] for name in names}


def rounded(value: float) -> str:
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def inlined(picture: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.read_bytes()).decode()
