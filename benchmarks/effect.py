"""Does the finetune do what it is for, and what in it does the work? Over seeds and corpora.

Finetunes with every loss, under both samplings, and with controls, in clones of the last commit, by
the pipeline itself; measures every variant as it is and at equal KL (benchmarks.equal_kl); and
holds the means over seeds against what is claimed. Answers, monitors and interpretations are
measured over seeds by `make seeds`.

    .venv/bin/python -m benchmarks.effect --work work/effect

What is finished of a seed and a corpus is kept in the work folder under the commit that it belongs
to, so that a run that was cut short goes on from there.
"""

import argparse
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.effect_numbers import FIXED, OURS, RIVALS, SAMPLINGS, Seed
from benchmarks.effect_page import RESULTS, renew
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
    commit = commit_of(Path.cwd())
    units = [(name, seed) for seed in options.seeds for name in corpora]
    with ThreadPoolExecutor(options.workers) as pool:
        found = pool.map(partial(_run, options.work, commit, corpora), *zip(*units, strict=True))
        report: dict[str, dict[str, Seed]] = {name: {} for name in corpora}
        for (name, seed), own in zip(units, found, strict=True):
            report[name][f"seed_{seed}"] = own
            write(options.out, report, commit)
    print((options.out / "effect.md").read_text(encoding="utf-8"))


def write(out: Path, report: Mapping[str, Mapping[str, Seed]], commit: str) -> None:
    """The numbers of every seed, and the page. What is not finished is left out."""
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
    parser.add_argument("--workers", type=int, default=2, help="units at a time, one thread each")
    return parser.parse_args()


def _run(work: Path, commit: str, corpora: Mapping[str, Corpus], name: str, seed: int) -> Seed:
    """A corpus with one seed, finetuned and measured in a clone of its own, or kept from before."""
    unit = f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    kept = (work / "found" / commit / f"{unit}.json").resolve()
    if not kept.is_file():
        folder = clone(work / unit)
        set_params(folder, seed, corpora[name])
        repro(folder, ["adapters"])
        python(folder, "benchmarks.equal_kl", "--reference", OURS, "--out", str(kept))
        print(f"{name}, seed {seed}: finished", file=sys.stderr, flush=True)
    found: Seed = read_json(kept)
    return found


if __name__ == "__main__":
    main()
