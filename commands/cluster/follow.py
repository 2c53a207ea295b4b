"""A rank of another node than the first: it works on whatever stage the first rank works on.

    while sleep 1; do torchrun --nnodes 2 --node-rank 1 ... -m commands.cluster.follow; done

One process works on one stage; the loop waits for the next. `dvc repro` runs on the first node
alone, and starts its ranks by LEGIBLE_LAUNCH.
"""

import runpy
import sys

from pipeline.core.console import InputError, run
from pipeline.models.meeting import rank_here, said_stage

FOLLOWED = ("adapters", "completions", "representations")  # that several ranks can work on


def main() -> None:
    here = rank_here()
    if here is None or here.number == 0:
        raise InputError(
            "a node follows the first one: start this by torchrun or accelerate launch, with 1 or "
            "more as the node's own number"
        )
    stage, argument = said_stage()
    if stage not in FOLLOWED:
        raise InputError(f"rank 0 works on {stage!r}, which is none of: {', '.join(FOLLOWED)}")
    sys.argv[1:] = [argument] if argument else []
    runpy.run_module(f"stages.{stage}", run_name="__main__")


if __name__ == "__main__":
    run(main)
