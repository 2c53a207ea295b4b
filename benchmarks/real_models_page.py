"""The page benchmarks/results/real_models.md, made of the units that are done.

Longer than other modules, as it has a function a table.

.venv/bin/python -m benchmarks.real_models_page
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.effect_numbers import over_seeds
from benchmarks.real_changes import (
    HARM,
    Vector,
    accuracy,
    asked_of,
    at,
    auroc,
    change,
    is_bits,
    mean,
    number,
    ones,
)
from benchmarks.real_models import UNITS
from benchmarks.real_units import (
    CANDIDATES,
    MOST_KL,
    OURS,
    PROBES,
    REMEDIES,
    Unit,
    best_of,
    best_remedy,
    units,
)
from pipeline.core.concepts import spoken
from pipeline.core.files import read_json, whole
from pipeline.evaluation.transport import spearman
from pipeline.reporting.comparison import corrected
from pipeline.reporting.markdown import drawn as table

PAGE = Path("benchmarks/results/real_models.md")
PRIMARY = (("smollm2", "beavertails"), ("smollm2", "mmlu"), ("smollm2", "math"),
           ("gemma3", "beavertails"))  # fmt: skip
THRESHOLDS = (("beavertails", "centroid", 0.2), ("beavertails", "silhouette", 0.15),
              ("beavertails", "cosine_gap", 0.15), ("math", "centroid", 0.15))  # fmt: skip
MOST_PERPLEXITY, NEAR = 1.03, 0.03
GEOMETRY = ("raw_cosine", "centroid", "knn", "silhouette", "cosine_gap", "coding_rate_gap")
ELSEWHERE = ("setting", "remedy", "selfie")  # kinds of units with tables of their own
Folds = dict[int, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--units", type=Path, default=UNITS, help="folder of the units' files")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    options = parser.parse_args()
    files = {unit: options.units / f"{unit.name}.json" for unit in units()}
    done = {unit: read_json(file) for unit, file in files.items() if file.exists()}
    with whole(options.out) as draft:
        draft.write_text(page(done), encoding="utf-8")
    print(f"{len(done)} units of {len(files)}")


def page(done: dict[Unit, dict[str, Any]]) -> str:
    parts = [
        "# Pretrained models on texts that people wrote\n",
        "Made by `benchmarks/real_models_page.py` of the units that are done; the [plan]"
        "(real_models_plan.md) was committed before the first of them ran, and says what was "
        "changed since, and why. Differences are paired by text over the folds that both have, "
        "with 95 % intervals over folds and prompts (of what is one number a fold, over folds "
        "alone); an interval over one fold holds no noise of training.\n",
        *_short(done),
        *_primary(done),
        *_thresholds(done),
        *_settings(done),
    ]
    for model, corpus in PRIMARY:
        parts += _corpus(done, model, corpus)
    parts += _selfie(done)
    wanted = _wanted(done)
    waiting = [unit.name for unit in wanted if unit not in done]
    parts.append("## Not yet done\n")
    parts.append(f"{len(waiting)} of {len(wanted)} units: {', '.join(waiting) or 'none'}.\n")
    hours = sum(found["processor_seconds"] for found in done.values()) / 3600
    parts.append(f"Those that are done took {hours:.1f} processor hours.\n")
    return "\n".join(parts)


def _wanted(done: dict[Unit, dict[str, Any]]) -> list[Unit]:
    """All units, but for the best remedy on all folds where none is better than what was chosen."""
    needless = _all_tried(done) and not _best_remedy(done)
    return [unit for unit in units() if not (needless and unit.kind == "remedied")]


def _all_tried(done: dict[Unit, dict[str, Any]]) -> bool:
    chosen = _folds(done, "smollm2", "beavertails", OURS)
    return 0 in chosen and len(_of_kind(done, "remedy")) == len(REMEDIES)


def _best_remedy(done: dict[Unit, dict[str, Any]]) -> tuple[str, str] | None:
    chosen = _folds(done, "smollm2", "beavertails", OURS)[0]
    return best_remedy(_of_kind(done, "remedy"), chosen)


def _short(done: dict[Unit, dict[str, Any]]) -> Iterator[str]:
    """What a reader asks first: whether the finetune makes concepts readable, and its price."""
    rows = []
    for model, corpus in PRIMARY:
        words, base, own, control = (
            _folds(done, model, corpus, name) for name in ("words", "base", OURS, "shuffled")
        )
        pairs, controls = _paired(own, base), _paired(control, base)
        if not (pairs and words and (places := _trained(done))):
            continue
        rows.append([
            model, corpus, f"{len(pairs)}",
            *(f"{mean(accuracy, _whole(folds)):.3f}" for folds in (words, base)),
            *(str(change(accuracy, some)) if some else "" for some in (pairs, controls)),
            str(change(at(places[0], "centroid"), pairs)),
            f"{mean(number('kl_held_out'), _whole(own)):.3f}",
        ])  # fmt: skip
    if rows:
        yield "## In short\n"
        yield table(
            ["model", "texts", "folds", "words alone", "`base`", f"`{OURS}` less `base`",
             "`shuffled` less `base`", "nearest centroid, less `base`", "KL"], rows,
        ) + "\n"  # fmt: skip


def _whole(folds: Folds) -> list[tuple[dict[str, Any], Vector]]:
    """Every text counts once."""
    return [(found, np.ones(len(found["prompts"]))) for found in folds.values()]


def _asked(folds: Folds) -> Folds:
    return {fold: asked_of(found) for fold, found in folds.items() if "ability" in found}


def _primary(done: dict[Unit, dict[str, Any]]) -> Iterator[str]:
    changes = {}
    for model, corpus in PRIMARY:
        own, base = _folds(done, model, corpus, OURS), _folds(done, model, corpus, "base")
        if pairs := _paired(own, base):
            changes[model, corpus] = (change(accuracy, pairs), len(pairs))
    adjusted = corrected({name: {"p": found.p} for name, (found, _) in changes.items()})
    rows = []
    for (model, corpus), (found, folds) in changes.items():
        p = adjusted[model, corpus]["p"]
        holds = found.value >= 0.03 and found.low > 0 and p < 0.05
        row = [model, corpus, f"{folds}", str(found), f"{p:.3f}", "yes" if holds else "no"]
        rows.append(row)
    yield f"## Primary: best probe of `{OURS}` less best probe of `base`\n"
    yield "Asked: at least +.03, the interval above 0.\n"
    if rows:
        yield table(["model", "corpus", "folds", "change", "p (Holm)", "holds"], rows) + "\n"


def _thresholds(done: dict[Unit, dict[str, Any]]) -> Iterator[str]:
    """The secondary thresholds, as far as there are units to hold them against."""
    rows = []
    for (corpus, name, asked), position in product(THRESHOLDS, _trained(done)):
        own, base = (_folds(done, "smollm2", corpus, variant) for variant in (OURS, "base"))
        if pairs := _paired(own, base):
            found = change(at(position, name), pairs)
            holds = "yes" if found.value >= asked else "no"
            what = f"{name}, `{position}`, less `base`"
            rows.append([corpus, OURS, what, f"at least {asked:+.2f}", str(found), holds])
    own = _folds(done, "smollm2", "beavertails", OURS)
    for name, most in {"kl_held_out": MOST_KL, "perplexity_held_out": MOST_PERPLEXITY}.items():
        if own:
            cost = float(np.mean([unit[name] for unit in own.values()]))
            holds = "yes" if cost <= most else "no"
            rows.append(
                ["beavertails", OURS, spoken(name), f"at most {most:g}", f"{cost:.3f}", holds]
            )
    control, base = (_folds(done, "smollm2", "beavertails", v) for v in ("shuffled", "base"))
    if pairs := _paired(control, base):
        found = change(accuracy, pairs)
        holds = "yes" if abs(found.value) <= NEAR else "no"
        what = "probe, less `base`"
        rows.append(["beavertails", "shuffled", what, f"within {NEAR:g}", str(found), holds])
    if rows:
        yield "## Other thresholds\n"
        yield table(["corpus", "variant", "measure", "asked", "found", "holds"], rows) + "\n"


def _tried(done: dict[Unit, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The units of the candidate settings that are done, by name."""
    return _of_kind(done, "setting")


def _of_kind(done: dict[Unit, dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {
        unit.variant.removeprefix(f"{kind}_"): found
        for unit, found in done.items()
        if unit.kind == kind
    }


def _trained(done: dict[Unit, dict[str, Any]]) -> tuple[str, ...]:
    """The positions that the chosen setting trains; none before every candidate is done."""
    settings = _tried(done)
    return CANDIDATES[best_of(settings)].positions if len(settings) == len(CANDIDATES) else ()


def _settings(done: dict[Unit, dict[str, Any]]) -> Iterator[str]:
    rows = []
    for name, found in _tried(done).items():
        tried = CANDIDATES[name]
        rows.append([
                name, str(tried.layers), ", ".join(tried.positions), tried.states,
                f"{tried.learning_rate:g}", f"{tried.steps}",
                f"{found['probe']['best_validation']:.3f}", f"{found['kl_held_out']:.3f}",
            ])  # fmt: skip
    yield "## Settings tried, by validation texts alone\n"
    if rows:
        of_setting = ["setting", "layers", "positions", "states", "rate", "steps"]
        yield table([*of_setting, "five best probes", "KL"], rows) + "\n"
    if remedies := _of_kind(done, "remedy"):
        yield "After the primary was missed, with all else as chosen:\n"
        yield table(["remedy", "probes fitted on", "five best probes", "KL"],
                    list(_remedies(remedies))) + "\n"  # fmt: skip
        yield from _second(done)


def _second(done: dict[Unit, dict[str, Any]]) -> Iterator[str]:
    """The best remedy on all folds, or that there is none."""
    if not _all_tried(done):
        return
    if not (best := _best_remedy(done)):
        yield "None of them is better than the chosen setting, so none was run on all folds.\n"
        return
    name, probe = best
    own, base = (_folds(done, "smollm2", "beavertails", v) for v in ("remedied", "base"))
    if pairs := _paired(own, base):
        yield (
            f"Second analysis, chosen after the first was missed: `{name}`, with probes fitted on "
            f"{PROBES[probe]}, less `base`, on {len(pairs)} folds: {change(accuracy, pairs)}.\n"
        )


def _remedies(found: dict[str, dict[str, Any]]) -> Iterator[list[str]]:
    for name, own in found.items():
        differs = ", ".join(f"{key} {value}" for key, value in REMEDIES[name].items())
        for probe, texts in PROBES.items():
            if probe in own:
                best = own[probe]["best_validation"]
                yield [f"{name}: {differs}", texts, f"{best:.3f}", f"{own['kl_held_out']:.3f}"]


def _corpus(done: dict[Unit, dict[str, Any]], model: str, corpus: str) -> Iterator[str]:
    variants = list(
        dict.fromkeys(
            u.variant
            for u in done
            if (u.model, u.corpus) == (model, corpus) and u.kind not in ELSEWHERE
        )
    )
    if not variants:
        return
    yield f"## {corpus}, {model}\n"
    base = _folds(done, model, corpus, "base")
    same_asked = corpus != "mmlu"  # whose folds ask their own questions
    probes, places, costs = [], [], []
    for variant in variants:
        own = _folds(done, model, corpus, variant)
        every = _whole(own)
        pairs = _paired(own, base) if variant != "base" else []
        asked = _paired(_asked(own), _asked(base)) if variant != "base" else []
        row = [variant, f"{len(own)}", f"{mean(accuracy, every):.3f}"]
        row.append(str(change(accuracy, pairs)) if pairs else "")
        for measure in HARM:
            scored = [pair for pair in every if "harmful" in pair[0]]
            row.append(f"{mean(measure, scored):.3f}" if scored else "")
        row.append(str(change(auroc, pairs)) if pairs and "harmful" in pairs[0][0] else "")
        probes.append(row)
        for position in ("last", "mean"):
            if "geometry" in next(iter(own.values())):
                measures = [at(position, name) for name in GEOMETRY]
                places.append([variant, position, *(f"{mean(m, every):.3f}" for m in measures)])
        if "kl_other" in next(iter(own.values())):
            names = ("kl_held_out", "perplexity_held_out", "kl_other", "perplexity_other")
            costs.append(
                [
                    variant,
                    *(f"{mean(number(n), every):.3f}" for n in names),
                    f"{mean(accuracy, _whole(_asked(own))):.3f}",
                    str(change(accuracy, asked, same_asked)) if asked else "",
                ]
            )
    heads = ["variant", "folds", "probe", "less base", "harm AUROC", "AP", "FPR95", "less base"]
    yield table(heads, probes) + "\n"
    if places:
        yield table(["variant", "position", *GEOMETRY], places) + "\n"
    if costs:
        heads = ["variant", "KL, held out", "perplexity, times", "KL, other corpus", "perplexity",
                 "multiple choice", "less base"]  # fmt: skip
        yield table(heads, costs) + "\n"
    if ranked := _ranking(done, model, corpus):
        yield ranked + "\n"


def _ranking(done: dict[Unit, dict[str, Any]], model: str, corpus: str) -> str:
    """Whether the normalised margin ranks what a probe loses on test texts, over variants and
    layers, fold by fold: Spearman's correlation, which the theory expects below 0."""
    points: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for unit, found in done.items():
        if (unit.model, unit.corpus) == (model, corpus) and unit.kind in ("base", "tuned"):
            for name, own in found["transport"].items():
                position = name.partition("_")[0]
                points.setdefault((position, unit.fold), []).append((own["margin"], own["gap"]))
    rows = []
    for position in dict.fromkeys(position for position, _ in points):
        own = [np.array(p).T for (at_position, _), p in points.items() if at_position == position]
        ranks = [float(spearman(margins, gaps)) for margins, gaps in own]
        rows.append([position, f"{len(ranks)}", *_over_folds(ranks)])
    header = ["transport, position", "folds", "Spearman", "95 % over folds"]
    return table(header, rows) if rows else ""


def _over_folds(values: list[float]) -> list[str]:
    """A mean over folds and its interval by Student's t; of one fold none."""
    found = over_seeds(values)
    ends = f"[{found['low']:+.3f}, {found['high']:+.3f}]" if len(values) > 1 else ""
    return [f"{found['value']:+.3f}", ends]


def _selfie(done: dict[Unit, dict[str, Any]]) -> Iterator[str]:
    """Who reads whose states, the share of test texts that is named rightly, by control."""
    readings: dict[str, dict[str, Any]] = {}
    for unit, found in done.items():
        if unit.kind == "selfie":
            readings |= found["selfie"]
    if not readings:
        return
    yield "## States in words, never taught (BeaverTails, SmolLM2)\n"
    yield "Share of 120 test texts whose concept the closed answer names; chance is one in six.\n"
    kinds = dict.fromkeys(k for own in readings.values() for k, v in own.items() if is_bits(v))
    rows = [
        [name, *(f"{ones(own[kind]).mean():.3f}" if kind in own else "" for kind in kinds)]
        for name, own in readings.items()
    ]
    yield table(["reader <- states", *kinds], rows) + "\n"
    if "base<-tuned" in readings:
        pair = [
            asked_of({"ability": own["state"]})
            for own in (readings["base<-tuned"], readings["base<-base"])
        ]
        more = change(accuracy, [(pair[0], pair[1])])
        yield f"`base` on tuned states less `base` on its own: {more}; asked: at least +.05.\n"


def _folds(done: dict[Unit, dict[str, Any]], model: str, corpus: str, variant: str) -> Folds:
    wanted = (model, corpus, variant)
    return {u.fold: found for u, found in done.items() if (u.model, u.corpus, u.variant) == wanted}


def _paired(own: Folds, base: Folds) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(own[fold], base[fold]) for fold in sorted(own.keys() & base.keys())]


if __name__ == "__main__":
    main()
