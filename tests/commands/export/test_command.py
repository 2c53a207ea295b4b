"""`legible-export` as it is typed."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from commands.export import command
from pipeline.core.console import InputError
from pipeline.core.params import Params
from tests.commands.export.conftest import VARIANT
from tests.support.hub_bench import Bench


def export(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["legible-export", *map(str, words)])
    command.main()


@pytest.mark.parametrize(
    ("kind", "more", "held"),
    [
        ("adapter", [], "README.md, adapter_config.json, adapter_model.safetensors"),
        ("merged", [], "README.md, chat_template.jinja, config.json, generation_config.json"),
        ("monitors", [], "README.md, mean.json, mean.safetensors, prompt_end.json"),
        ("direction", ["--concept", "fraud"], "README.md, direction.gguf, direction.safetensors"),
    ],
)
def test_every_kind_is_written_where_it_is_asked_for(
    finished: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], kind: str, more: list[str], held: str,
) -> None:  # fmt: skip
    export(monkeypatch, kind, VARIANT, tmp_path / "home", *more)
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'home'} holds {held}")


def test_what_is_written_is_pushed_where_that_is_asked_for(
    finished: Params, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    bench.log_in(bench.hub.token)
    export(monkeypatch, "adapter", VARIANT, tmp_path / "home", "--push", "acme/legible")
    pushed = bench.hub.repositories["models", "acme/legible"]
    assert pushed.files == {p.name: p.read_bytes() for p in (tmp_path / "home").iterdir()}
    assert f"pushed: {bench.hub.url}/acme/legible/commit/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["adapter", VARIANT, "full"], "holds something already; name a new folder"),
        (["adapter", VARIANT, "full/file"], "holds something already"),
        (["direction", VARIANT, "new"], "a direction needs --concept"),
        (["merged", VARIANT, "new", "--concept", "fraud"], "nothing else takes it"),
    ],
)
def test_nothing_of_the_users_is_replaced(
    finished: Params, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    Path("full").mkdir()
    Path("full/file").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        export(monkeypatch, *words)
    assert Path("full/file").read_text(encoding="utf-8") == "mine"
    assert not Path("new").exists()
