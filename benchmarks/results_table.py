"""The tables of README.md and docs/, made of committed results. Longer than other modules,
as it has a function a table.

`python -m benchmarks.results_table` writes them anew, each where its page says so:

    <!-- table: NAME -->
    (whatever stands here is replaced)
    <!-- end -->

A value has its 95 % interval over texts and, after `seeds`, its band over seeds; `texts only` where
no band is known. A change in bold is clear: interval and band lie on one side of 0, and its p value
is below .05 after Holm's correction for all changes of its table.

Longer than other files, as every table stands here.

NAME is a key of TABLES, or `effect HEADING, N`: the Nth table under that heading of
benchmarks/results/effect.md, and alike of others of PAGES_OF_RESULTS. tests/test_docs.py holds
every page to its tables.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.claims import table_of_claims
from benchmarks.claims_over_seeds import table_of_claims_over_seeds
from benchmarks.committed import metrics_of, seed_values
from benchmarks.edit_tables import table_of_edits_beside
from benchmarks.families import table_of_families
from benchmarks.interpretation_tables import (
    table_of_affine,
    table_of_affine_leads,
    table_of_confidence,
    table_of_crossings,
    table_of_leads,
    table_of_moves,
    table_of_namers,
    table_of_personas,
)
from benchmarks.monitor_tables import (
    table_of_attacks,
    table_of_cascade,
    table_of_further_training,
    table_of_kinds,
)
from benchmarks.params_tables import tables_of_params
from benchmarks.sources_table import table_of_sources
from benchmarks.stage_times import table_of_times
from pipeline.core.files import whole
from pipeline.core.params import load_params
from pipeline.core.paths import METRICS
from pipeline.core.records import HEADLINE
from pipeline.core.scored_sets import EVERYDAY
from pipeline.corpora.grammar import REFUSED
from pipeline.reporting.comparison import corrected
from pipeline.reporting.glossary import MEANINGS
from pipeline.reporting.headline import Headline, headline, read_metrics
from pipeline.reporting.markdown import drawn, markdown_tables, said
from pipeline.reporting.short_headline import MEANT, OF_RECALL

RESULTS = Path("benchmarks/results")
PAGES = (Path("README.md"), *sorted(Path("docs").glob("*.md")))
PAGES_OF_RESULTS = ("effect", "real_models", "rivals")  # whose tables are shown by their heading
BLOCK = re.compile(r"(<!-- table: ([^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SHOWN = ("base", "true_negatives")
GROUPS = {  # of texts that monitors are scored on: where in metrics/monitors and text_only.json
    "labelled, test": ("harm", "test", "whole"),
    "labelled, novel": ("harm", "novel", "whole"),
    "labelled, shifted": ("harm", "shifted", "whole"),
    "requests, plain, test": ("shift", "plain_test", "prompt"),
    "requests, plain, novel": ("shift", "plain_novel", "prompt"),
    "requests, framed, test": ("shift", "framed_test", "prompt"),
    "requests, framed, novel": ("shift", "framed_novel", "prompt"),
}


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if renewed(text) != text:
            with whole(page) as draft:
                draft.write_text(renewed(text), encoding="utf-8")
            print(f"renewed: {page}")


def renewed(text: str) -> str:
    """A page with every marked table as the results have it."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{table(found[2])}\n\n{found[3]}", text)


def table(name: str) -> str:
    page, _, rest = name.partition(" ")
    if page in PAGES_OF_RESULTS:
        heading, _, count = rest.rpartition(", ")
        text = (RESULTS / f"{page}.md").read_text(encoding="utf-8")
        section = text.partition(f"## {heading}\n")
        return markdown_tables(section[2].partition("\n## ")[0])[int(count) - 1]
    return TABLES[name]()


def _headline() -> str:
    rows = _rows()
    lines = [[f"`{number}`", *(said(row.get(number, {}), joint="<br>") for row in rows.values())]
             for number in MEANINGS if any(number in row for row in rows.values())]  # fmt: skip
    return drawn(["number", *(f"`{name}`" for name in rows)], lines)


def _rows() -> dict[str, Headline]:
    """The headline of every variant, with intervals and bands."""
    params = load_params()
    return {name: headline(_tree(name), params.reading, params.asking) for name in params.variants}


def _tree(variant: str) -> dict[str, Any]:
    return read_metrics(METRICS, variant, seed_values())


def _meanings() -> str:
    rows = [[f"`{name}`", m.says, "" if m.better == "none" else m.better]
            for name, m in MEANINGS.items()]  # fmt: skip
    return drawn(["number", "what it says", "better"], rows)


def _short() -> str:
    rows = [[f"`{name}`", f"{m.label}: {m.says}", m.better] for name, m in MEANT.items()]
    return drawn(["number", "what it is", "better"], rows)


def _refusals() -> str:
    """How often the base model refuses, beside how often the texts that taught it do."""
    tree, rows = metrics_of("safety/base.json"), []
    for (harmful, framed), taught in REFUSED.items():
        framing = "framed" if framed else "plain"
        row = [f"{'harmful' if harmful else 'safe'}, {framing}", f"{taught:.2f}"]
        for split in ("test", "novel"):
            rate = tree[f"{'harmful' if harmful else 'over_refusal'}_rate_{split}_{framing}"]
            row.append(said(_others_share(rate) if harmful else rate))
        rows.append(row)
    return drawn(["request", "refused in training texts", "by the model, test",
                   "by the model, novel"], rows)  # fmt: skip


def _others_share(rate: Mapping[str, float]) -> dict[str, float]:
    """1 minus a rate, with its intervals."""
    ends = {"value": "value", "low": "high", "high": "low", "seeds_low": "seeds_high",
            "seeds_high": "seeds_low"}  # fmt: skip
    return {end: 1 - rate[other] for end, other in ends.items() if other in rate}


def _costs() -> str:
    columns = {
        "perplexity": ("fidelity", "difference.perplexity"),
        "harmful_rate": ("safety", "difference.harmful_rate"),
        "over_refusal_rate": ("safety", "difference.over_refusal_rate"),
        "refusal_gap": ("safety", "difference.refusal_gap"),
        "kl_of_openings (a size)": ("fidelity", "kl_of_openings"),
    }
    return _by_variant(columns)


def _interpretations() -> str:
    asking = load_params().asking
    columns = {
        f"{label}, {split}": (
            "selfie", f"difference.layer_{asking.layer}.{split}.{asking.positions[0]}.{number}",
        )
        for number, label in {"state": "accuracy", "lead": "lead"}.items()
        for split in ("test", "novel")
    }  # fmt: skip
    return _by_variant(columns)


def _monitors() -> str:
    trees = {name: metrics_of(f"monitors/{name}.json") for name in SHOWN}
    words = metrics_of("text_only.json")
    asked = {  # where each row stands in the monitors' metrics, and in those of words alone
        f"harm, AUROC: {label}": (
            f"{question}.{HEADLINE}.{group}.auroc",
            f"harm.{shown}.{group}.auroc",
        )
        for label, (question, group, shown) in GROUPS.items()
    }
    asked[f"harm, found at 1 % false alarms: {EVERYDAY}"] = (
        f"harm.{HEADLINE}.{EVERYDAY}.{OF_RECALL}", f"harm.whole.{EVERYDAY}.{OF_RECALL}",
    )  # fmt: skip
    asked |= {
        f"concept, accuracy: labelled, {group}": (
            f"concept.{HEADLINE}.{group}.accuracy",
            f"concept.whole.{group}.accuracy",
        )
        for group in ("test", "novel", "shifted")
    }
    base, ours = trees.values()
    changes = corrected(
        {label: _at(ours, f"difference.{path}") for label, (path, _) in asked.items()}
    )
    rows = [
        [label, said(_at(base, path)), said(_at(ours, path)), said(changes[label], "+"),
         said(_at(words, of_words))]
        for label, (path, of_words) in asked.items()
    ]  # fmt: skip
    return drawn(["scored on", *(f"`{n}`" for n in trees), "difference", "words alone"], rows)


def _edits() -> str:
    names = load_params().control.edits
    trees = {name: metrics_of(f"control/{name}.json") for name in names}
    paths = [
        f"{split}.{rate}_{kind}"
        for rate in ("harmful_rate", "over_refusal_rate")
        for kind in ("framed", "plain")
        for split in ("test", "novel")
    ] + ["heldout.specificity", "described.facts_kept"]
    changes = corrected(
        {
            (path, name): _at(tree, f"{path}.change")
            for path in paths
            for name, tree in trees.items()
        }
    )
    rows = []
    for path in paths:
        split, _, number = path.partition(".")
        before = _at(next(iter(trees.values())), f"{path}.before.value")
        rows.append([f"`{number}`, {split}", f"{before:.3f}",
                     *(said(changes[path, name], "+") for name in trees)])  # fmt: skip
    return drawn(["number", "before", *(f"`{name}`" for name in trees)], rows)


def _others() -> str:
    words = metrics_of("text_only.json")
    ranks = metrics_of("transport_correlation.json")
    judge = metrics_of("judge.json")
    rows = [
        [f"TF-IDF names the concept: {what}, {split}",
         said(_at(words, f"concept.{shown}.{split}.accuracy"))]
        for shown, what in {"whole": "prompt and response", "prompt": "prompt alone"}.items()
        for split in ("test", "novel")
    ]  # fmt: skip
    rows += [[f"transport's margin ranks the loss (Spearman), {split}", said(tree["spearman"])]
             for split, tree in ranks.items() if split in ("test", "novel")]  # fmt: skip
    rows += [["the judge model chooses the concept that a text names", said(judge["agreement"])]]
    return drawn(["number", "value"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "headline": _headline,
    "refusals": _refusals,
    "meanings": _meanings,
    "short": _short,
    "costs": _costs,
    "interpretations": _interpretations,
    "crossings": table_of_crossings,
    "namers": table_of_namers,
    "leads": table_of_leads,
    "affine": table_of_affine,
    "affine leads": table_of_affine_leads,
    "confidence": table_of_confidence,
    "moves": table_of_moves,
    "personas": table_of_personas,
    "monitors": _monitors,
    "kinds of monitor": table_of_kinds,
    "cascade": table_of_cascade,
    "attacks": table_of_attacks,
    "further training": table_of_further_training,
    "edits": _edits,
    "edits beside": table_of_edits_beside,
    "others": _others,
    "claims": table_of_claims,
    "claims over seeds": table_of_claims_over_seeds,
    "families": table_of_families,
    "stage times": table_of_times,
    "sources": table_of_sources,
    "params": tables_of_params,
    "layers": lambda: markdown_tables((RESULTS / "layers.md").read_text(encoding="utf-8"))[0],
}


def _by_variant(columns: Mapping[str, tuple[str, str]]) -> str:
    """Changes, and sizes, which are no change and have no sign."""
    names = [name for name in load_params().variants if name != "base"]
    found = {
        (name, column): _at(metrics_of(f"{stage}/{name}.json"), path)
        for name in names
        for column, (stage, path) in columns.items()
    }
    changes = corrected(found)
    signs = {c: "+" if path.startswith("difference") else "" for c, (_, path) in columns.items()}
    rows = [[f"`{name}`", *(said(changes[name, c], sign) for c, sign in signs.items())]
            for name in names]  # fmt: skip
    return drawn(["variant", *columns], rows)


def _at(tree: Any, path: str) -> Any:
    """What stands at a path of keys, or nothing."""
    for key in path.split("."):
        tree = tree.get(key, {})
    return tree


if __name__ == "__main__":
    main()
