"""Does the finetune do what it is for, and what in it does the work? Over seeds and corpora.

Finetunes with every loss, under both samplings, and with controls, in clones of the last commit, by
the pipeline itself; measures every variant as it is and at equal KL (benchmarks.equal_kl); and
holds the means over seeds against what is claimed. Answers, monitors and interpretations are
measured over seeds by `make seeds`.

    .venv/bin/python -m benchmarks.effect --work work/effect

What is finished is kept in the work folder, a file a variant, under the commit that it belongs to,
so that a run that was cut short goes on from there. The losses that decide most are run first, on
all seeds.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.effect_numbers import FIXED, OURS, RIVALS, SAMPLINGS, Seed
from benchmarks.effect_page import RESULTS, renew
from benchmarks.equal_kl import WORDS
from benchmarks.runs import Corpus, clone, commit_of, python, repro, set_params
from pipeline.core.files import read_json, write_json

SEEDS = (20, 21, 22, 23, 24)  # of which no loss, no knob and no claim was chosen

# Every loss with the pairs that its variant in params.yaml has, and with the others: only what a
# loss gains under both samplings is the loss's own. The rivals without a contrast stand here alone.
ROWS = {
    **{f"{loss}_balanced": {"of": loss, "sampling": "balanced"} for loss in ("infonce", "nt_xent")},
    **{f"{loss}_random": {"of": loss, "sampling": "random"} for loss in ("supcon", OURS)},
    **{loss: {"of": OURS, "contrast": loss} for loss in FIXED},
    **{f"{loss}_random": {"of": OURS, "contrast": loss, "sampling": "random"} for loss in FIXED},
}
FIRST = ("base", OURS, *FIXED, "shuffled")  # variants that are run before the others
LOSSES = (*RIVALS, *SAMPLINGS.values(), OURS)
CORPORA = {
    concepts: Corpus({"corpora.embedded.concepts": concepts}, (*LOSSES, "shuffled"), rows=ROWS)
    for concepts in ("topics", "safety")
}
CORPORA |= {
    f"{concepts}, random base": Corpus(
        {"corpora.embedded.concepts": concepts, "pretraining.steps": 0}, ("base", OURS)
    )
    for concepts in ("topics", "safety")
}


def real(folder: Path) -> Corpus:
    """A folder of tables with the columns prompt, response and value; harmless ones are `safe`."""
    return Corpus(
        {
            "corpora.source": "csv",
            "corpora.csv.folder": str(folder.resolve()),
            "corpora.csv.label": "value",
            "pretraining.steps": 400,
        },
        ("base", *FIXED, OURS, "shuffled"),
        rows=ROWS,
    )


def main() -> None:
    options = _options()
    corpora = {name: CORPORA[name] for name in options.corpora}
    if options.real:
        corpora[options.real.name] = real(options.real)
    commit = options.commit or commit_of(Path.cwd())
    found = (options.work / "found" / commit).resolve()
    units = [
        (name, seed, first) for first in (True, False) for seed in options.seeds for name in corpora
    ]

    def run(unit: tuple[str, int, bool]) -> bool:
        """Whether it failed, which is said at once and stops no other."""
        name, seed, first = unit
        variants = [v for v in corpora[name].variants if (v in FIRST) == first]
        try:
            run_unit(options.work / _unit(name, seed), found, seed, corpora[name], variants)
        except SystemExit as failure:
            print(failure, file=sys.stderr, flush=True)
            return True
        return False

    failed = 0
    if not options.collect:
        with ThreadPoolExecutor(options.workers) as pool:
            failed = sum(pool.map(run, units))
    report = {
        name: {f"seed_{seed}": own for seed in options.seeds
               if (own := collected(found / _unit(name, seed), corpora[name]))}
        for name in corpora
    }  # fmt: skip
    write(options.out, report, commit)
    print((options.out / "effect.md").read_text(encoding="utf-8"))
    if failed:
        sys.exit(f"{failed} of {len(units)} parts failed; the same command runs them again")


def _unit(name: str, seed: int) -> str:
    return f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"


EQUAL_KL = ("benchmarks.equal_kl", "--reference", OURS, "--variants")


def run_unit(
    folder: Path,
    found: Path,
    seed: int,
    corpus: Corpus,
    variants: Sequence[str],
    measure: Sequence[str] = EQUAL_KL,
) -> None:
    """Finetune and measure variants of a corpus with one seed in a clone of its own; those that
    were kept from before are left.

    measure: the module that measures, and its arguments, to which the variants and `--out` are
    added.
    """
    kept = found / folder.name
    missing = [name for name in variants if not (kept / f"{name}.json").is_file()]
    if missing:
        clone(folder)
        set_params(folder, seed, corpus)
        repro(folder, [f"adapters@{name}" for name in (OURS, *missing)])
        python(folder, *measure, *missing, "--out", str(kept))
        print(f"{folder.name}: {', '.join(missing)}", file=sys.stderr, flush=True)


def collected(kept: Path, corpus: Corpus) -> Seed | None:
    """What is finished of a corpus with one seed; nothing before the untouched model is."""
    variants = finished(kept, corpus)
    if not ("base" in variants and (kept / WORDS).is_file()):
        return None
    return {"words": read_json(kept / WORDS), "variants": variants}


def finished(kept: Path, corpus: Corpus) -> dict[str, Any]:
    """What is measured of a corpus with one seed, by variant."""
    files = {name: kept / f"{name}.json" for name in corpus.variants}
    return {name: read_json(file) for name, file in files.items() if file.is_file()}


def write(out: Path, report: Mapping[str, Mapping[str, Seed]], commit: str) -> None:
    """The numbers of every seed, and the page. A corpus of which nothing is finished is left
    out."""
    done = {name: seeds for name, seeds in report.items() if seeds}
    command = " ".join(["python -m benchmarks.effect", *sys.argv[1:]])
    write_json(out / "effect.json", {"commit": commit, "command": command, "corpora": done})
    renew(out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for clones and numbers")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--corpora", nargs="*", choices=[*CORPORA], default=[*CORPORA])
    parser.add_argument("--real", type=Path, help="folder of tables, run beside the corpora")
    parser.add_argument("--collect", action="store_true", help="run nothing: write what is there")
    parser.add_argument("--commit", help="whose numbers are collected, if not the last one's")
    parser.add_argument("--workers", type=int, default=2, help="units at a time, one thread each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
