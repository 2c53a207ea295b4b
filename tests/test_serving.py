"""A monitor beside a model that is served: what it judges is what it judges elsewhere, and an alarm
ends the answer."""

import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from examples.serve import MonitoredModel, new_server
from examples.vllm_monitor import judge
from pipeline.core.console import InputError
from pipeline.core.sections import Text
from pipeline.inference.live_monitor import judge_prompts
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import decoder_blocks, decoder_of
from pipeline.monitors.saved import SavedMonitor
from tests.inference.test_live_monitor import monitor_of

PROMPT = "Explain rain."
SILENT, LOUD = 1.1, 0.0  # thresholds that no score reaches, and that every score does


class Served:
    """A server and its address."""

    def __init__(self, model: PreTrainedModel, encoder: Encoder, monitor: SavedMonitor):
        whole = Encoder(encoder.tokenizer, Text(prompt_tokens=256, response_tokens=256))
        self.server = new_server(MonitoredModel(model, whole, monitor), port=0)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def ask(self, body: Any, path: str = "/v1/chat/completions") -> Any:
        address = f"http://127.0.0.1:{self.server.server_port}{path}"
        with urlopen(Request(address, json.dumps(body).encode())) as answer:
            return json.load(answer)


@pytest.fixture
def served(model: PreTrainedModel, encoder: Encoder) -> Iterator[Any]:
    running = []

    def serve(threshold: float, position: str = "mean") -> Served:
        running.append(Served(model, encoder, monitor_of(model, 1, position, threshold=threshold)))
        return running[-1]

    yield serve
    for one in running:
        one.server.shutdown()
        one.server.server_close()


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "-"}, {"role": "user", "content": prompt}],
            "max_tokens": 5, **more}  # fmt: skip


def test_an_answer_is_given_with_the_score_of_every_token(served: Any) -> None:
    (choice,) = served(SILENT).ask(chat(PROMPT))["choices"]
    assert choice["finish_reason"] in ("stop", "length")
    assert choice["message"]["role"] == "assistant"
    scores = choice["monitor"]["scores"]
    assert 1 <= len(scores) <= 5, "at the prompt's end, and after every token that was read"
    assert choice["finish_reason"] == "stop" or len(scores) == 5


def test_the_first_score_is_that_of_the_prompt_alone(
    served: Any, model: PreTrainedModel, encoder: Encoder
) -> None:
    (choice,) = served(SILENT, "prompt_end").ask(chat(PROMPT))["choices"]
    monitor = monitor_of(model, 1, "prompt_end", threshold=SILENT)
    (judged,) = judge_prompts(model, encoder, monitor, [PROMPT])
    assert choice["monitor"]["scores"] == pytest.approx([judged.score])


def test_an_alarm_ends_the_answer_and_withholds_it(served: Any) -> None:
    (choice,) = served(LOUD).ask(chat(PROMPT))["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] == ""
    assert len(choice["monitor"]["scores"]) == 1, "no further token was generated"


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        ({}, "/v1/chat/completions", 400),
        ({"messages": []}, "/v1/chat/completions", 400),
        ({"messages": "hi"}, "/v1/chat/completions", 400),
        ([], "/v1/chat/completions", 400),
        (chat(PROMPT, max_tokens=0), "/v1/chat/completions", 400),
        (chat("word " * 400), "/v1/chat/completions", 400),
        (chat(PROMPT), "/v1/models", 404),
    ],
)
def test_what_is_no_request_is_told_in_one_line(
    served: Any, body: Any, path: str, status: int
) -> None:
    with pytest.raises(HTTPError) as refused:
        served(SILENT).ask(body, path)
    assert refused.value.code == status
    assert json.load(refused.value)["error"]["message"].count("\n") == 0
    refused.value.close()


class StandIn:
    """What `judge` asks of vLLM's LLM, over a model of transformers."""

    def __init__(self, model: PreTrainedModel, encoder: Encoder):
        self.model, self.encoder = model, encoder
        blocks = nn.ModuleList(nn.Identity() for _ in decoder_blocks(model))
        self.seen = SimpleNamespace(model=SimpleNamespace(layers=blocks, norm=nn.Identity()))
        config = SimpleNamespace(get_vocab_size=lambda: model.config.vocab_size)
        self.llm_engine = SimpleNamespace(model_config=config)

    def apply_model(self, function: Any) -> list[Any]:
        return [function(self.seen)]

    def generate(self, prompt: dict[str, list[int]], *_: Any, **__: Any) -> None:
        self.read(prompt["prompt_token_ids"])

    def chat(self, messages: list[dict[str, str]], *_: Any, **__: Any) -> None:
        self.read(list(self.encoder(messages[0]["content"], "").ids))

    @torch.no_grad()
    def read(self, ids: list[int]) -> None:
        """Run the model, and give every block's hook what vLLM would: what the block adds, and
        what it adds that to, [tokens, D] each."""
        handles = []
        for block, seen in zip(decoder_blocks(self.model), self.seen.model.layers, strict=True):

            def pass_on(_: Any, args: Any, kwargs: Any, output: Any, seen: Any = seen) -> None:
                hidden = args[0] if args else kwargs["hidden_states"]
                for hook in seen._forward_hooks.values():
                    hook(seen, (), ((output - hidden)[0], hidden[0]))

            handles.append(block.register_forward_hook(pass_on, with_kwargs=True))
        final: Any = decoder_of(self.model)(torch.tensor([ids])).last_hidden_state
        for hook in self.seen.model.norm._forward_hooks.values():
            hook(None, (), (final[0], None))
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("layer", [1, 2])
def test_what_vllm_gives_is_judged_as_by_transformers(
    layer: int, model: PreTrainedModel, encoder: Encoder
) -> None:
    """By a stand-in for vLLM, whose last layer is read after the final norm."""
    monitor = monitor_of(model, layer, "prompt_end")
    prompts = [PROMPT, "Why?"]
    found = judge(StandIn(model, encoder), None, monitor, prompts)
    expected = judge_prompts(model, encoder, monitor, prompts)
    for one, other in zip(found, expected, strict=True):
        assert (one.label, one.alarm) == (other.label, other.alarm)
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_another_model_is_refused(model: PreTrainedModel, encoder: Encoder) -> None:
    monitor = monitor_of(model, 1, "prompt_end")
    with torch.no_grad():
        decoder_blocks(model)[0].mlp.down_proj.weight.mul_(100)
    with pytest.raises(InputError, match="another model"):
        judge(StandIn(model, encoder), None, monitor, [PROMPT])
