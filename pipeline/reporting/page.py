"""One page that shows a run: its answer, its numbers, its pictures, its words, where it is from."""

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
from pipeline.reporting.answers import ON_FIRST_SCREEN, answers
from pipeline.reporting.attack_tables import AttackRow, clear_changes
from pipeline.reporting.comparison import Beside, Line, changes_from_baseline
from pipeline.reporting.edit_table import EDIT_HEADINGS, beside_rows, matches
from pipeline.reporting.evidence import evidence
from pipeline.reporting.glossary import INJECTED, MEANINGS
from pipeline.reporting.headline import Headline
from pipeline.reporting.hiding_tables import Hiding, hiding_rows, protection
from pipeline.reporting.judge_tables import error_rows, found_rows
from pipeline.reporting.monitor_matrix import ALONE, SetRow, measures_of
from pipeline.reporting.redaction import Redaction
from pipeline.reporting.seed_band import SeedValues
from pipeline.reporting.short_headline import BASE

PAGE_TEMPLATE = Path(__file__).with_name("page.html.jinja")
LEAD, LEAD_CHANGE = "lead over the best control", "change from base"
JUDGE_HEADINGS = ("lead by the judge model", "its change from base")


@dataclass(frozen=True)
class ReportContents:
    """All that a page shows. differences: the paired ones of every row from the untouched model's,
    corrected for their number, nothing of that model itself; compared: variants side by side;
    controls: those with shuffled labels; matrix: how well the headline monitor of the compared
    variants does on every set of texts; hiding: what monitors find once models were trained on, and
    attacks: once prompts were attacked, at a threshold for a `rate` of false alarms; selfie: how
    far each variant's interpretations lead, by heading, and judge: what the judge model is worth;
    judges: the same of those that judge answers, and safety: what they find, of the compared
    variants; control: what edits changed, and what stands beside them; redaction: which texts are
    not shown; seeds: whose bands stand in estimates; read_at: the layer and position of headline
    numbers."""

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
    matrix: Sequence[SetRow]
    hiding: Hiding
    rate: str
    judge: Mapping[str, Mapping[str, float]]
    judges: Mapping[str, Any]
    safety: Mapping[str, Mapping[str, Any]]
    control: Mapping[str, Mapping[str, Any]]
    attacks: Sequence[AttackRow]
    redaction: Redaction
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
    environment.filters |= {"spoken": spoken, "number": rounded, "signed": signed, "zip": zip}
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
        answers={  # that of the headline first
            name: answers(beside[name], lead_of(run.selfie, name), shuffled)
            for name in reversed(run.compared)
            if name != BASE
        },
        first=ON_FIRST_SCREEN,
        groups=grouped_numbers(run.rows),
        meanings=MEANINGS,
        injected=INJECTED,
        beside=beside,
        changes_from_baseline=changes_from_baseline(run.rows, run.baseline),
        evidence=evidence(run.figures),
        said=said_of_states(run.words, run.redaction),
        errors=error_rows(run.judges),
        found=found_rows(run.safety),
        edits=beside_rows(run.control),
        edit_headings=EDIT_HEADINGS,
        matches=matches(run.control),
        held={name: clear_changes(run.attacks, name) for name in run.compared if name != BASE},
        measures=[name for name in measures_of(run.matrix) if _is_of(name, run.rate)],
        alone=list(ALONE),
        hidden=hiding_rows(run.hiding, run.rate),
        protection=protection(run.hiding, run.rate),
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


def said_of_states(
    words: Mapping[str, Sequence[Interpretation]], redaction: Redaction
) -> list[tuple[str, dict[str, str], dict[str, str]]]:
    """One text of each concept: what every variant says of its state, and what the last one says
    where something else was injected."""
    said = {
        variant: {
            (i.example, i.control): redaction(i.text, i.concept, i.example) for i in interpretations
        }
        for variant, interpretations in words.items()
    }
    last = list(words)[-1]
    states = [i for i in words[last] if i.control == "state"]
    controls = sorted({i.control for i in words[last]} & INJECTED.keys() - {"state"})
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


def _is_of(measure: str, rate: str) -> bool:
    """Whether it is of no rate that thresholds were set for, or of this one."""
    return "_for_" not in measure or measure.endswith(f"_for_{rate}")
