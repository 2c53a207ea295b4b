"""Serve a tuned model with a monitor beside it: an answer stops at the token at which it raises an
alarm.

    .venv/bin/python -m examples.serve models/monitors/true_negatives/mean.json --port 8000

`POST /v1/chat/completions` takes and gives what OpenAI's clients do; the last user message is
answered, one request at a time. `finish_reason` is `content_filter` where the monitor raised an
alarm, and `monitor` holds its score after every token. It listens to its own machine alone: there
is no login.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria

from pipeline.core.console import InputError, run
from pipeline.inference.live_monitor import LiveMonitor, watching
from pipeline.inference.monitor_cli import check_lengths, load_monitored_model
from pipeline.models.encoding import Encoder, ends_of
from pipeline.models.generating import generate
from pipeline.monitors.saved import SavedMonitor, load_monitor

LONGEST = 2**20  # bytes of a request


class AtAlarm(StoppingCriteria):
    """Ends a generation as soon as its monitor raises an alarm."""

    def __init__(self, live: LiveMonitor):
        self.live = live

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        return torch.tensor([judged.alarm for judged in self.live.latest()]).to(input_ids.device)


@dataclass
class MonitoredModel:
    """A model, its encoder and a monitor that was fitted on it."""

    model: Any
    encoder: Encoder
    monitor: SavedMonitor
    busy: Lock = field(default_factory=Lock)

    def answer(self, prompt: str, tokens: int) -> dict[str, Any]:
        """A choice as OpenAI's clients expect it, with the monitor's scores beside it. Raises
        InputError for a prompt that is too long."""
        check_lengths(self.model, self.encoder, [prompt], tokens)
        ids = torch.tensor([self.encoder(prompt, "").ids], device=self.model.device)
        ends = ends_of(self.model, self.encoder.tokenizer, self.encoder.end)
        asked = GenerationConfig(
            do_sample=True, top_k=0, max_new_tokens=tokens, eos_token_id=ends,
            pad_token_id=self.encoder.tokenizer.pad_token_id,
        )  # fmt: skip
        with self.busy, watching(self.model, self.monitor, check=False) as live:
            found = generate(
                self.model, ids, asked, attention_mask=torch.ones_like(ids),
                stopping_criteria=[AtAlarm(live)],
            )  # fmt: skip
        judged = live.judgements()
        new = found[0, ids.shape[1] :].tolist()
        ended = bool(new) and new[-1] in ends
        alarm = any(step.alarm for step in judged)
        return {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "" if alarm else self.encoder.decode(new[: len(new) - ended]),
            },
            "finish_reason": "content_filter" if alarm else "stop" if ended else "length",
            "monitor": {
                "scores": [step.score for step in judged],
                "threshold": self.monitor.threshold,
                "label": judged[-1].label,
            },
        }


def asked_for(body: bytes) -> tuple[str, int]:
    """The last user message of a request, and how many tokens may answer it. Raises InputError for
    what is no such request."""
    try:
        request = json.loads(body)
        prompt = [m["content"] for m in request["messages"] if m["role"] == "user"][-1]
        tokens = request.get("max_tokens", 64)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError("no chat request; send messages with one of the role user") from None
    if not isinstance(prompt, str) or not isinstance(tokens, int) or tokens < 1:
        raise InputError("content must be text, and max_tokens a number of 1 or more")
    return prompt, tokens


def new_server(served: MonitoredModel, port: int) -> ThreadingHTTPServer:
    """A server on this machine alone; port 0 lets the system choose one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if self.path != "/v1/chat/completions" or size > LONGEST:
                self.reply(404, {"error": {"message": "POST /v1/chat/completions alone is served"}})
                return
            try:
                choice = served.answer(*asked_for(self.rfile.read(size)))
            except InputError as mistake:
                self.reply(400, {"error": {"message": str(mistake)}})
                return
            self.reply(200, {"object": "chat.completion", "choices": [choice]})

        def reply(self, status: int, tree: Mapping[str, Any]) -> None:
            body = json.dumps(tree).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *message: object) -> None:
            """Prompts and answers are nobody's business."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("monitor", type=Path, help="models/monitors/VARIANT/POSITION.json")
    parser.add_argument("--model", type=Path, help="a folder; default: that of the last run")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    monitor = load_monitor(options.monitor)
    model, encoder = load_monitored_model(options.model, monitor)
    server = new_server(MonitoredModel(model, encoder, monitor), options.port)
    print(f"http://127.0.0.1:{server.server_port}/v1/chat/completions")
    server.serve_forever()


if __name__ == "__main__":
    run(main)
