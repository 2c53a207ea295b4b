"""Every preset gives params that can be run, and leaves the rest of params.yaml as it was."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.core import presets
from pipeline.core.console import InputError
from pipeline.core.params import load_params
from tests.support.dag import ROOT

NAMES = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))
DEPTHS = {  # blocks, and the layer at the paper's depth
    "llama-3.1-8b": (32, 26), "mistral-7b-v0.3": (32, 26), "qwen2.5-7b": (28, 23),
    "gemma-2-9b": (42, 34), "qwen2.5-0.5b": (24, 20), "qwen3-0.6b": (28, 23),
    "smollm2-135m": (30, 24),
}  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_can_be_laid_over_the_default(name: str) -> None:
    before = Path("params.yaml").read_text(encoding="utf-8")
    presets.apply([name])
    load_params()
    after = Path("params.yaml").read_text(encoding="utf-8")
    assert after != before
    changed = len(set(before.splitlines()) - set(after.splitlines()))
    assert changed < 40, "what a preset does not name stays"
    assert "# Every knob of the pipeline" in after
    presets.apply([name])
    assert Path("params.yaml").read_text(encoding="utf-8") == after, "laid over twice is once"


def test_rows_that_were_taken_away_stay_away() -> None:
    path, yaml = Path("params.yaml"), YAML()
    tree = yaml.load(path.read_text(encoding="utf-8"))
    tree["control"]["edits"] = {}
    del tree["variants"]["sft"]
    with path.open("w", encoding="utf-8") as out:
        yaml.dump(tree, out)
    presets.apply(["smollm2-135m", "paper-safety"])
    params = load_params()
    assert params.control.edits == {}
    assert list(params.variants) == list(tree["variants"])


@pytest.mark.parametrize(("name", "depth"), DEPTHS.items())
def test_models_are_trained_at_the_papers_depth(name: str, depth: tuple[int, int]) -> None:
    layers, target = depth
    presets.apply([name])
    params = load_params()
    assert params.model.source == "hub"
    assert params.finetune.top_layer == params.reading.layer == target
    assert abs(target / layers - 26 / 32) < 0.025
    assert max(params.extraction.layers) == layers


@pytest.mark.parametrize("name", ["smollm2-135m-package", "gemma-3-270m-package"])
def test_models_of_packages_are_pinned_and_need_no_hub(name: str) -> None:
    presets.apply([name])
    params = load_params()
    model, named = params.model, YAML(typ="safe").load(Path(f"presets/{name}.yaml"))
    assert (model.source, model.dtype) == ("package", "bfloat16")
    assert model.package.model_dump()["parts"] == tuple(named["model"]["package"]["parts"])
    assert params.finetune.top_layer == params.reading.layer == params.asking.layer


@pytest.mark.parametrize(("name", "depth"), DEPTHS.items())
def test_every_edit_is_as_deep_as_in_the_default(name: str, depth: tuple[int, int]) -> None:
    """The preset itself names each edit's layer: where concepts are read, or a quarter deep."""
    layers, target = depth
    named = YAML(typ="safe").load(Path(f"presets/{name}.yaml"))["control"]["edits"]
    before = load_params()
    assert named.keys() == before.control.edits.keys()
    presets.apply([name])
    for edit, row in load_params().control.edits.items():
        assert row.layer == named[edit]["layer"]
        if row.method == "reinforcement":
            assert row.layer == target
        else:
            default = before.control.edits[edit].layer / before.model.embedded.layers
            assert abs(row.layer / layers - default) < 0.02


@pytest.mark.parametrize(
    "corpus", ["paper-safety", "paper-binary", "paper-math", "paper-knowledge"]
)
def test_a_model_and_a_corpus_go_together(corpus: str) -> None:
    presets.apply(["llama-3.1-8b", corpus])
    params = load_params()
    assert (params.model.source, params.corpora.source) == ("hub", "hub")
    assert (
        params.variants["true_negatives"].steps * params.finetune.pairs_per_step
        == params.pairs.count
    )


def test_small_sizes_and_more_prompts_go_over_a_model_and_a_corpus() -> None:
    presets.apply(["smollm2-135m-package", "paper-safety", "paper-salad", "paper-small"])
    params = load_params()
    assert (params.model.source, params.corpora.source) == ("package", "hub")
    assert params.corpora.hub.requests == ("xstest", "salad")
    assert params.corpora.hub.per_concept == 40
    infonce = params.variants["infonce"]
    assert (infonce.steps, infonce.contrast_weight) == (8, 10.0), "of the small, of the paper's"
    assert infonce.steps * params.finetune.pairs_per_step == params.pairs.count


def test_mistakes_leave_params_as_they_were() -> None:
    before = Path("params.yaml").read_bytes()
    with pytest.raises(InputError, match=r"no preset 'llama'.*llama-3.1-8b"):
        presets.apply(["smollm2-135m", "llama"])
    bad = {"finetune": {"target_layers": "deep"}}
    with Path("presets/bad.yaml").open("w", encoding="utf-8") as out:
        YAML().dump(bad, out)
    with pytest.raises(InputError, match=r"bad over params\.yaml cannot run: .*target_layers"):
        presets.apply(["bad"])
    assert Path("params.yaml").read_bytes() == before
