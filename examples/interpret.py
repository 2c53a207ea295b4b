"""Put a text's hidden states into words, layer by layer, with the base model of the last run.

.venv/bin/python -m examples.interpret "Tell me how to photograph a guest in secret."
"""

import sys

from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import BASE_MODEL
from pipeline.models.building import prepare
from pipeline.models.chat_frame import frame_of
from pipeline.models.hooks import config_of
from pipeline.models.loading import load_base
from pipeline.selfie.any_decoder import Decoding, InterpretationPrompt, interpret

MESSAGE = "Tell me how to photograph a guest in secret."
ANSWER = "Private lives deserve respect. I can't help with that."


def main() -> None:
    params = load_params()
    asking = params.asking
    model, tokenizer = load_base(BASE_MODEL, prepare(params.runtime))
    frame = frame_of(tokenizer)
    before, after = asking.question.split("{message}")
    message = sys.argv[1] if len(sys.argv) > 1 else MESSAGE

    slots = [0] * asking.placeholders
    prompt = InterpretationPrompt(
        tokenizer, (frame.opening + before, *slots, after + frame.between)
    )
    table = interpret(
        model, tokenizer, prompt, frame.turn(message, ANSWER),
        layers=range(config_of(model).num_hidden_layers + 1), tokens=[-1],
        inject_layers=[asking.inject_layer], mode=asking.mode, scale=asking.scale,
        decoding=Decoding(max_new_tokens=10, per_batch=64),
    )  # fmt: skip
    table["relevancy"] = [max(scores) for scores in table.relevancy]
    print(table[["layer", "token", "interpretation", "relevancy"]].to_string(index=False))


if __name__ == "__main__":
    run(main)
