"""A run as the table needs it: its params and its metrics, which are to belong together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.table.measured import Trees, read_trees
from commands.table.published import Published
from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.params import Params, load_params
from pipeline.core.paths import MANIFEST
from pipeline.core.reproduce import LOCK, check_lock

# Stages, whose params decide what the numbers of the table are.
DECIDING = (
    "corpora", "base_model", "texts", "pairs", "adapters", "representations", "completions",
    "streams", "verdicts", "safety", "fidelity", "monitors",
)  # fmt: skip
RUN_FIRST = "run `make table`, which runs what is stale, or `dvc repro`"


@dataclass(frozen=True)
class Results:
    """raw: params.yaml as it stands; trees: what was measured, by variant; training_texts: of each
    concept, empty where the corpus is not on this machine."""

    params: Params
    raw: Mapping[str, Any]
    trees: Mapping[str, Trees]
    training_texts: Mapping[str, int]

    @property
    def concepts(self) -> int | None:
        """How many the corpus has; None where that is not known."""
        return len(self.training_texts) or None

    @property
    def model(self) -> str:
        """What the base model is called: its repository, package or folder."""
        model = self.params.model
        match model.source:
            case "hub":
                return model.hub.repo
            case "package":
                return " and ".join(
                    f"{part.package} {part.version}" for part in model.package.parts
                )
            case "path":
                return model.path.location
        return "the embedded model"

    def published_as(self, published: Published) -> str | None:
        """What the paper calls this run's model; None where it has no numbers of it."""
        names = {repo: name for name, repo in published.models.items()}
        return names.get(self.params.model.hub.repo) if self.params.model.source == "hub" else None

    def knob(self, key: str) -> Any:
        """What params.yaml says at a key; None where a part of it is not there."""
        return _at(self.raw, key)


def read_results(published: Published) -> Results:
    """Raises InputError where nothing was measured, or with other params than params.yaml has."""
    params = load_params()
    raw = _plain_yaml(Path("params.yaml"))
    check_lock(LOCK)
    if not LOCK.is_file():
        raise InputError(f"{LOCK} is missing: nothing was measured here; {RUN_FIRST}")
    if others := sorted(set(_changed(_plain_yaml(LOCK)["stages"], raw))):
        raise InputError(
            f"metrics/ is of another run: params.yaml has changed since in {', '.join(others)}; "
            f"{RUN_FIRST}"
        )
    names = ["base", *(name for name in published.methods.values() if name in params.variants)]
    trees = {name: read_trees(name) for name in dict.fromkeys(names)}
    if not trees["base"]:
        raise InputError(f"metrics/ holds nothing of the untouched model; {RUN_FIRST}")
    rows = read_json(MANIFEST)["rows"] if MANIFEST.is_file() else {}
    training = {concept: counts.get("train", 0) for concept, counts in rows.items()}
    return Results(params, raw, trees, training)


def _changed(stages: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    """Sections of params.yaml that a deciding stage read otherwise when it ran last."""
    for name, stage in stages.items():
        kind, _, variant = name.partition("@")
        removed = variant and variant not in raw["variants"]
        if kind in DECIDING and not removed:
            read = stage.get("params", {}).get("params.yaml", {})
            yield from (key.partition(".")[0] for key in read if _at(raw, key) != read[key])


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _plain_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
