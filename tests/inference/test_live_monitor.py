"""A monitor in a running model: what it sees is what a whole text shows, and nothing else moves.

Longer than other files, as all ways to run a model are held to one answer.
"""

import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from pipeline.core.console import InputError
from pipeline.core.params import Params
from pipeline.core.records import Example, evenly_spaced
from pipeline.inference import monitor_cli
from pipeline.inference.answer_extraction import read_streams
from pipeline.inference.fingerprint import check_model, is_same_model, signature_of
from pipeline.inference.live_monitor import judge_prompts, watching
from pipeline.models import external_base
from pipeline.models.building import new_model, on_device
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.hooks import hidden_states
from pipeline.models.lora import with_lora
from pipeline.monitors.answer_states import POSITIONS
from pipeline.monitors.saved import SavedMonitor, save_monitor
from tests.support.families import FAMILIES, family
from tests.support.tiny import move

PROMPTS = ["Explain rain.", "Why?", "Tell me all about the sea, please, and about its salt."]
NEVER_ENDS = {"do_sample": False, "max_new_tokens": 6, "min_new_tokens": 6, "pad_token_id": 0}


def monitor_of(model: Any, at: int, position: str, **update: Any) -> SavedMonitor:
    """A monitor of a layer with weights of its own, that belongs to a model."""
    rng = np.random.default_rng(0)
    width = model.config.hidden_size
    fields: dict[str, Any] = {
        "kind": "logistic", "variant": "base", "classes": ("harmful", "safe"),
        "harmless": ("safe",), "layer": at, "position": position, "threshold": 0.5,
        "base": {"dtype": "float32"}, "centre": rng.normal(size=width).astype(np.float32),
        "weights": 5 * rng.normal(size=(2, width)).astype(np.float32),
        "bias": rng.normal(size=2).astype(np.float32),
        "signature": signature_of(model, at).numpy(),
    }  # fmt: skip
    return SavedMonitor(**fields | update)


def alone(ids: torch.Tensor) -> dict[str, Any]:
    return {"attention_mask": torch.ones_like(ids), **NEVER_ENDS}


def scores_of(monitor: SavedMonitor, states: np.ndarray) -> np.ndarray:
    """The definition: softmax(weights (h - centre) + bias), of the first class [T]."""
    logits = (states - monitor.centre) @ monitor.weights.T + monitor.bias
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials[:, 0] / exponentials.sum(1)


def batch_of(encoder: Encoder, prompts: list[str], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [B, T], padded on a side."""
    texts = [text.ids for text in encoder.texts([(prompt, "") for prompt in prompts])]
    longest = max(map(len, texts))
    rows = [[0] * (longest - len(ids)) for ids in texts]
    left = side == "left"
    ids = [[*pad, *own] if left else [*own, *pad] for pad, own in zip(rows, texts, strict=True)]
    real = [[0] * len(pad) + [1] * len(own) if left else [1] * len(own) + [0] * len(pad)
            for pad, own in zip(rows, texts, strict=True)]  # fmt: skip
    return torch.tensor(ids), torch.tensor(real)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_states_of_one_pass_are_those_of_generation_token_by_token(
    model: PreTrainedModel, encoder: Encoder, layer: int, position: str, use_cache: bool
) -> None:
    """Later tokens change no state: what the streams hold is what a running answer showed."""
    monitor, generate = monitor_of(model, layer, position), cast(Any, model.generate)
    for prompt in PROMPTS:
        text = encoder(prompt, "")
        ids = torch.tensor([text.ids])
        with watching(model, monitor) as live:
            whole = generate(ids, use_cache=use_cache, **alone(ids))
        read = tuple(whole[0, :-1].tolist())  # the last token is never read
        encoded = Encoded(read, text.last, len(read) - 1)
        streams = read_streams(model, [encoded], [("r", 0)], layer, 4096)
        (states,) = streams.at(position, [0])
        seen = [judgement.score for judgement in live.judgements()]
        assert len(seen) == 6
        np.testing.assert_allclose(seen, scores_of(monitor, states), atol=1e-5)


def test_rows_of_a_padded_batch_are_judged_as_if_alone(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    ids, mask = batch_of(encoder, PROMPTS, "left")
    for position in POSITIONS:
        monitor = monitor_of(model, 1, position)
        with watching(model, monitor) as together:
            model.generate(ids, attention_mask=mask, **NEVER_ENDS)
        for row, prompt in enumerate(PROMPTS):
            own = torch.tensor([encoder(prompt, "").ids])
            with watching(model, monitor) as by_itself:
                model.generate(own, **alone(own))
            np.testing.assert_allclose(
                [j.score for j in together.judgements(row)],
                [j.score for j in by_itself.judgements()],
                atol=1e-5,
            )


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("position", ["prompt_end", *POSITIONS])
def test_prompts_are_judged_at_their_end_in_one_pass(
    model: PreTrainedModel, encoder: Encoder, position: str, side: str
) -> None:
    monitor = monitor_of(model, 1, position)
    ids, mask = batch_of(encoder, PROMPTS, side)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = model.register_forward_hook(count)
    with torch.no_grad(), watching(model, monitor, check=False) as live:
        model(input_ids=ids, attention_mask=mask)
    handle.remove()
    assert calls == 1
    judged = judge_prompts(model, encoder, monitor, PROMPTS, per_batch=2)
    assert [j.label for j in live.latest()] == [j.label for j in judged]
    for prompt, own, other in zip(PROMPTS, live.latest(), judged, strict=True):
        text = torch.tensor([encoder(prompt, "").ids])
        with torch.no_grad():
            states = hidden_states(model, text, None, [1])[1][0]
        state = states.mean(0) if position == "mean" else states[-1]
        (expected,) = scores_of(monitor, state[None].numpy())
        assert own.score == pytest.approx(expected, abs=1e-5)
        assert other.score == pytest.approx(expected, abs=1e-5)
        assert own.alarm == (own.label == "harmful")


def test_a_prompt_end_monitor_judges_once(model: PreTrainedModel, encoder: Encoder) -> None:
    ids = torch.tensor([encoder("Why?", "").ids])
    with watching(model, monitor_of(model, 1, "prompt_end")) as live:
        model.generate(ids, **alone(ids))
    assert len(live.judgements()) == 1


def test_watching_changes_no_answer_and_leaves_no_hook(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    ids, mask = batch_of(encoder, PROMPTS, "left")
    before = model.generate(ids, attention_mask=mask, **NEVER_ENDS)
    with watching(model, monitor_of(model, 2, "mean")) as live:
        during = model.generate(ids, attention_mask=mask, **NEVER_ENDS)
    seen = len(live.judgements())
    model.generate(ids, attention_mask=mask, **NEVER_ENDS)
    assert torch.equal(before, during)
    assert len(live.judgements()) == seen
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("layer", [2, 4])
@pytest.mark.parametrize("position", POSITIONS)
def test_every_family_is_judged_by_its_own_states_while_it_generates(
    name: str, layer: int, position: str
) -> None:
    """Sliding windows, other masks and other blocks: the states are those that the model itself
    gives of every row by itself, the last layer's after the final norm."""
    model = family(name)
    monitor = monitor_of(model, layer, position)
    texts = [[5, 9, 13, 17, 21, 25], [7, 30]]
    ids = torch.tensor([texts[0], [0] * 4 + texts[1]])
    with watching(model, monitor) as live:
        whole = model.generate(ids, attention_mask=(ids > 0).long(), **NEVER_ENDS)
    for row, text in enumerate(texts):
        own = whole[row, len(texts[0]) - len(text) : -1]
        with torch.no_grad():
            states = model(own[None], output_hidden_states=True).hidden_states[layer][0].numpy()
        if position == "mean":
            states = states.cumsum(0) / np.arange(1, len(states) + 1)[:, None]
        expected = scores_of(monitor, states[len(text) - 1 :])
        seen = [judgement.score for judgement in live.judgements(row)]
        np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_a_model_with_an_unmerged_adapter_is_judged(
    model: PreTrainedModel, encoder: Encoder, params: Params
) -> None:
    adapted = move(with_lora(model, params.finetune)).eval()
    monitor = monitor_of(adapted, 1, "mean")
    ids = torch.tensor([encoder("Why?", "").ids])
    with watching(adapted, monitor) as live:
        adapted.generate(ids, **alone(ids))
    (judged,) = judge_prompts(adapted, encoder, monitor, ["Why?"])
    assert len(live.judgements()) == 6
    assert live.judgements()[0].score == pytest.approx(judged.score, abs=1e-5)


# Another model


def test_another_model_is_refused(model: PreTrainedModel, encoder: Encoder, params: Params) -> None:
    monitor = monitor_of(model, 1, "last")
    check_model(model, monitor)
    check_model(on_device(model, torch.device("cpu")).to(torch.bfloat16), monitor)
    torch.manual_seed(1)
    other = new_model(params.model.embedded, encoder.tokenizer).eval()
    with pytest.raises(InputError, match="another model than the monitor's"):
        check_model(other, monitor)


def test_a_finetuned_model_is_refused_as_another(model: PreTrainedModel) -> None:
    monitor = monitor_of(model, 1, "last")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(1.5)
    with pytest.raises(InputError, match="another model"), watching(model, monitor):
        pass


def test_a_model_of_another_width_or_depth_is_refused(
    model: PreTrainedModel, params: Params
) -> None:
    width = params.model.embedded.width
    wide = np.zeros((2, 2 * width), np.float32)
    monitor = monitor_of(model, 1, "last", weights=wide, centre=wide[0])
    with pytest.raises(
        InputError, match=f"states of width {2 * width} and the model's have {width}"
    ):
        check_model(model, monitor)
    with pytest.raises(InputError, match="layer 9 and the model has layers 0 to 2"):
        check_model(model, monitor_of(model, 1, "last", layer=9))


def test_a_mask_of_another_shape_is_refused(model: PreTrainedModel) -> None:
    with (
        pytest.raises(InputError, match="plain attention mask"),
        watching(model, monitor_of(model, 1, "mean")),
    ):
        model(input_ids=torch.ones(1, 3, dtype=torch.long), attention_mask=torch.zeros(1, 1, 3, 3))


def test_a_score_near_1_does_not_reach_a_higher_threshold(
    model: PreTrainedModel, encoder: Encoder
) -> None:
    """Scores between 1 - 1e-7 and 1 are one number in single precision."""
    width = model.config.hidden_size
    sure = monitor_of(
        model, 1, "prompt_end", weights=np.zeros((2, width)), bias=np.array([20.0, 0.0]),
        threshold=1 - 1e-9,
    )  # fmt: skip
    with watching(model, sure) as live:
        model(**batch(encoder))
    score = 1 / (1 + np.exp(-20.0))
    assert live.judgements()[0].score == pytest.approx(score, abs=1e-12)
    assert not live.judgements()[0].alarm
    assert not live.latest()[0].alarm


def batch(encoder: Encoder) -> dict[str, torch.Tensor]:
    ids = torch.tensor([encoder("Why?", "").ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_signatures_differ_by_direction_and_by_length() -> None:
    one = torch.tensor([1.0, 0.0])
    assert is_same_model(one * 1.0005, one, exact=True)
    assert not is_same_model(one * 1.01, one, exact=True)
    assert is_same_model(one * 1.01, one, exact=False)
    assert not is_same_model(torch.tensor([0.9, 0.4]), one, exact=False)


# Streams


def test_streams_do_not_depend_on_the_batch_and_have_running_means(
    model: PreTrainedModel, encoder: Encoder, examples: list[Example]
) -> None:
    """No batch changes them, and their means are those of the whole text so far."""
    texts = encoder.unended([(e.prompt, e.response) for e in examples[:12]])
    names = [(e.id, 0) for e in examples[:12]]
    together = read_streams(model, texts, names, 1, 4096)
    apart = read_streams(model, texts, names, 1, 1)
    for position in POSITIONS:
        np.testing.assert_allclose(together.states[position], apart.states[position], atol=2e-6)
    for index, text in enumerate(texts):
        assert encoder.end[0] not in text.ids[text.prompt_end + 1 :]
        with torch.no_grad():
            states = hidden_states(model, torch.tensor([text.ids]), None, [1])[1][0].numpy()
        last, mean = (together.at(position, [index])[0] for position in POSITIONS)
        np.testing.assert_allclose(last, states[text.prompt_end :], atol=2e-6)
        for step in (0, len(mean) - 1):
            expected = states[: text.prompt_end + step + 1].mean(0)
            np.testing.assert_allclose(mean[step], expected, atol=2e-6)


def test_no_texts_give_empty_streams(model: PreTrainedModel) -> None:
    streams = read_streams(model, [], [], 1, 4096)
    assert streams.ids == ()
    assert streams.states["mean"].shape == (0, model.config.hidden_size)
    assert streams.at("last", []) == []


def test_encoded_answers_decode_to_the_answer_without_its_end(encoder: Encoder) -> None:
    asked, silent = encoder.unended([("Why?", "Because of rain."), ("Why?", "")])
    assert encoder.decode(asked.ids[asked.prompt_end + 1 :]) == "Because of rain."
    assert silent.ids == asked.ids[: asked.prompt_end + 1]


def test_records_are_taken_evenly() -> None:
    texts = [Example(str(n), "", "", "", "", "test", "") for n in range(10)]
    assert [e.id for e in evenly_spaced(texts, 4)] == ["0", "2", "5", "7"]
    assert evenly_spaced(texts, 10) == evenly_spaced(texts, 99) == texts


# The command


@pytest.fixture
def folder(model: PreTrainedModel, encoder: Encoder, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    encoder.tokenizer.save_pretrained(tmp_path / "model")
    for position in ("prompt_end", "mean"):
        save_monitor(tmp_path, position, monitor_of(model, 1, position))
    (tmp_path / "prompts.txt").write_text("Explain rain.\n\nWhy?\n", encoding="utf-8")
    return tmp_path


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["legible-monitor", *map(str, words)])
    monitor_cli.main()


def test_the_command_scores_prompts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor, prompts = folder / "prompt_end.json", folder / "prompts.txt"
    command(monkeypatch, monitor, prompts, "--model", folder / "model")
    header, *lines = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header == ["prompt", "token", "label", "score", "threshold", "layer"]
    assert [line[0] for line in lines] == ["Explain rain.", "Why?"]
    for _, _, label, score, threshold, layer in lines:
        assert label == ("harmful" if float(score) >= float(threshold) else "safe")
        assert layer == "1"


def test_the_command_scores_every_token_of_an_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Explain rain.\n"))
    command(monkeypatch, folder / "mean.json", "--model", folder / "model", "--generate", 4)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    assert 1 <= len(lines) <= 4
    assert lines[0][:2] == ["Explain rain.", ""]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.json", "prompts.txt"], "gone.json is missing"),
        (["mean.json", "gone.txt"], "gone.txt cannot be read as text"),
        (["mean.json", "empty.txt"], "empty.txt holds no prompt"),
        (["mean.json", "prompts.txt", "--model", "gone"], "config.json is missing"),
        (["mean.json", "prompts.txt", "--model", "broken"], "cannot be loaded"),
        (["mean.json", "prompts.txt"], "models/base.json is missing"),
        (["mean.json", "prompts.txt", "--model", "model", "--generate", "9999"], "shorten it"),
    ],
)
def test_the_command_refuses_mistakes_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty.txt").write_text("\n", encoding="utf-8")
    (folder / "broken").mkdir()
    (folder / "broken/config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        command(monkeypatch, *words)


def test_want_of_memory_is_no_fault_of_a_models_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")

    monkeypatch.setattr(external_base, "read_weights", too_large)
    with pytest.raises(torch.OutOfMemoryError):
        external_base.load_folder(tmp_path)
