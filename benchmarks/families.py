"""The table of model families of docs/, made of what the tests find of a tiny model of each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.core.files import read_json
from pipeline.reporting.markdown import drawn

FOUND = Path("benchmarks/results/families.json")
NO_ADAPTER = {"experts": ("expert",), "routers": ("gate", "router"), "convolutions": ("conv",),
              "indexers": ("indexer",), "cross-attention": ("encoder_attn",)}  # fmt: skip
WHY = {  # what a refusal says, in the words of the table
    "layer by layer": "not read: its blocks give on something else than a state a token, or see "
    "later tokens",
    "without a stated context": "not adopted: its configuration states no context",
    "max_position_embeddings": "not adopted: its configuration states no context",
    "keys and values": "no: it keeps more than keys and values",
    "from a cache": "no: its cache is left aside or changes what it reads",
    "no linear map": "none: it has no plain linear map",
}


def table_of_families() -> str:
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for family, found in read_json(FOUND).items():
        groups[_row(found)].append(f"`{family}`")
    ordered = sorted(groups.items(), key=lambda group: (group[0][0][:3] == "not", -len(group[1])))
    return drawn(
        ["hidden states and answers", "adapters", "SelfIE", "families"],
        [[*row, ", ".join(sorted(families))] for row, families in ordered],
    )


def _row(found: Mapping[str, str]) -> tuple[str, str, str]:
    if found["refused"]:
        return _why(found["refused"]), "", ""
    reads = f"{found['reads']} rows"
    if found["completes"] == "one length":
        reads += "; answered in batches of one length"
    adapters = _why(found["adapts"]) if found["adapts"] != "yes" else _adapters(found["left_out"])
    return reads, adapters, _why(found["interprets"])


def _adapters(left_out: str) -> str:
    """Every linear map, but for kinds of weights that get none."""
    weights = left_out.split(", ") if left_out else []
    kinds = [kind for kind, marks in NO_ADAPTER.items() if _any(marks, weights)]
    if any(not _any(sum(NO_ADAPTER.values(), ()), [weight]) for weight in weights):
        kinds.append("others")
    return f"all but {', '.join(kinds)}" if kinds else "all"


def _any(marks: Iterable[str], weights: Iterable[str]) -> bool:
    return any(mark in weight for weight in weights for mark in marks)


def _why(line: str) -> str:
    return next((said for part, said in WHY.items() if part in line), line)
