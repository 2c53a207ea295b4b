"""params.yaml made for a model, texts and a machine; and what would fail there, said before."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.start import doctor as doctor_command
from commands.start import fitting
from commands.start import init as init_command
from commands.start.fitting import Machine, ModelSize
from pipeline.core.console import InputError
from pipeline.core.params import load_params
from pipeline.core.presets import laid_over, lay_over
from tests.support.clones import dvc, git
from tests.support.dag import ROOT

Init = Callable[..., str]
MACHINE = Machine("cpu", 2, 16e9, 5e11, has_bfloat16=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init_command, "machine_of", lambda device: MACHINE)
    monkeypatch.setattr(doctor_command, "machine_of", lambda device: MACHINE)
    for name in ("params.yaml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("presets", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "mine").mkdir()
    rows = [{"text": f"ask {n} " * 30, "topic": ("fine", "foul")[n % 2]} for n in range(240)]
    (tmp_path / "mine/t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def init(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Init:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["legible-init", *arguments])
        init_command.main()
        return capsys.readouterr().out

    return run


def test_a_preset_and_texts_make_a_short_run(init: Init) -> None:
    said = init("mine", "--model", "smollm2-135m-package", "--safe", "fine", "--minutes", "60")
    params = load_params()
    assert (params.corpora.source, params.corpora.csv.texts) == ("csv", ("text",))
    assert (params.corpora.csv.label, params.corpora.csv.safe) == ("topic", ("fine",))
    assert (params.model.source, params.reading.layer) == ("package", 20)
    assert tuple(params.variants) == fitting.VARIANTS
    steps = params.variants["shuffled"].steps
    assert f"{steps} steps for each of true_negatives and shuffled" in said
    assert params.text.prompt_tokens == 64
    assert "# Every knob of the pipeline" in Path("params.yaml").read_text()
    init("mine", "--model", "smollm2-135m-package", "--safe", "fine", "--minutes", "120")
    assert load_params().variants["shuffled"].steps > steps


def test_a_folder_of_a_model_is_read_at_its_depth(init: Init, project: Path) -> None:
    (project / "model").mkdir()
    config = {"num_hidden_layers": 16, "hidden_size": 64, "max_position_embeddings": 512}
    (project / "model/config.json").write_text(json.dumps(config))
    (project / "model/model.safetensors").write_bytes(b"0" * 4000)
    init("mine", "--model", "model", "--minutes", "5", "--label", "topic")
    params = load_params()
    assert params.model.path.location == "model"
    assert params.finetune.target_layers == (13,), "26 of 32, as published"
    assert params.extraction.layers == (0, 4, 8, 13, 16)


def test_the_embedded_model_keeps_all_variants(init: Init) -> None:
    before = load_params()
    init("mine", "--model", "embedded", "--minutes", "5", "--safe", "fine")
    after = load_params()
    assert after.variants == before.variants
    assert after.corpora.csv.folder == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which folder of tables? Give FOLDER: my/texts"),
        (["mine"], "which model? Give --model: embedded, "),
        (["mine", "--model", "embedded"], "how many minutes at hand? Give --minutes: 60"),
        (["mine", "--model", "gpt", "--minutes", "5"], "no model 'gpt': name one of embedded, "),
        (["mine", "--model", "llama-3.1-8b", "--minutes", "5"], "a finetune needs "),
        (["mine", "--model", "embedded", "--minutes", "5", "--safe", "fin"], "corpora.csv.safe"),
    ],
)
def test_what_is_missing_is_one_line_and_params_stay(
    init: Init, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Without a terminal, nothing is asked."""
    before = Path("params.yaml").read_bytes()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    monkeypatch.setattr(init_command, "size_of", lambda *_: ModelSize(32, 4096, 8 * 10**9, 8192))
    with pytest.raises(InputError) as mistake:
        init(*arguments)
    assert str(mistake.value).startswith(message)
    assert Path("params.yaml").read_bytes() == before


def test_texts_without_responses_keep_no_variant_that_learns_them(init: Init) -> None:
    """Where nothing is harmful, no answer is a refusal either."""
    init("mine", "--model", "embedded", "--minutes", "5")
    after = load_params().variants
    assert "true_negatives" in after
    assert not any(row.response_weight for row in after.values())


def test_what_is_missing_is_asked_on_a_terminal(
    init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["mine", "embedded", "5"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    init()
    assert load_params().corpora.csv.folder == "mine"


@pytest.fixture
def doctor(project: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    """What the doctor says; the line of a failure last."""
    git(project, "init", "-q")
    dvc(project, "init", "-q")
    doctor_command._machine.cache_clear()

    def run() -> str:
        try:
            doctor_command.main()
            failed = ""
        except InputError as mistake:
            failed = str(mistake)
        return capsys.readouterr().out + failed

    return run


def test_the_default_run_is_well(doctor: Init) -> None:
    said = doctor().splitlines()
    assert [line.partition(":")[0] for line in said] == [f"ok   {c}" for c in doctor_command.CHECKS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runtime": {"threads": 64}}, "device: runtime.threads is 64, and this process has 2"),
        ({"corpora": {"source": "csv", "csv": {"label": "none"}}}, "texts: .*no column 'none'"),
        (
            {"model": {"source": "package"}, "extraction": {"layers": [0, 3, 30]},
             "finetune": {"pairs_per_step": 960}, "pairs": {"count": 57600}},
            "memory: a step needs about .* GB, and cpu has 16.0 free; set runtime.checkpointing",
        ),
        (
            {"model": {"source": "package"}, "extraction": {"layers": [0, 3, 30]},
             "text": {"prompt_tokens": 4096}},
            "model: text.prompt_tokens .* more than the model's context",
        ),
    ],
)  # fmt: skip
def test_what_would_fail_is_a_line(
    doctor: Init, change: dict[str, dict[str, object]], message: str
) -> None:
    with laid_over("a test") as tree:
        lay_over(tree, change)
    said = doctor()
    failures = [line for line in said.splitlines() if line.startswith("FAIL")]
    assert any(re.search(message, line) for line in failures), said
    assert "checks failed, as said above" in said


def test_a_folder_that_is_no_repository_and_no_constraints(project: Path) -> None:
    params = load_params()
    with pytest.raises(InputError, match="this folder is no git repository"):
        doctor_command.project(params)
    Path("constraints.txt").write_text("torch==0.0.1\n")
    with pytest.raises(InputError, match=r"torch is .*, pinned 0\.0\.1: run make repro"):
        doctor_command.versions(params)
    Path("constraints.txt").unlink()
    with pytest.raises(InputError, match=r"constraints\.txt is missing"):
        doctor_command.versions(params)
