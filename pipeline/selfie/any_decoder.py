"""Any Hugging Face decoder's hidden states in words, as a table.

    prompt = InterpretationPrompt(tokenizer, ("Message: ", 0, 0, 0, " What is it about?"))
    table = interpret(model, tokenizer, prompt, "How do I bake bread?", layers=[8, 16])
    print(table[["layer", "token", "interpretation"]])

The states may be another model's (Patchscopes, arXiv 2401.06102), brought over by an affine map,
and vectors need be no states: means, differences and directions are read alike.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.console import InputError
from pipeline.core.sections import InjectionMode
from pipeline.models.encoding import ends_of
from pipeline.models.hooks import decoder_blocks, hidden_states
from pipeline.selfie.decoding import Search
from pipeline.selfie.interpret import read_aloud
from pipeline.selfie.prompts import InterpretationPrompt, Prompt

__all__ = ["InterpretationPrompt", "Search", "interpret", "interpret_vectors", "states_of"]

GREEDY = Search(max_new_tokens=30, per_batch=64)


@dataclass(frozen=True)
class Writing:
    """Where and how a vector is written: hooks.Manner, stated."""

    inject_layer: int
    mode: InjectionMode
    scale: float


def interpret(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    texts: str | Sequence[str],
    layers: Sequence[int],
    tokens: Sequence[int] | None = None,
    inject_layers: Sequence[int] = (1,),
    mode: InjectionMode = "replace",
    scale: float = 1.0,
    search: Search = GREEDY,
    source: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
    adapter: Callable[[Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """Interpret the hidden states of texts: every text x layer x token x injected block.

    texts are tokenised as they stand, with the tokenizer's own opening token. layers are Hugging
    Face's: 0 the embeddings, l the output of block l - 1. tokens: indices into a text's tokens,
    from the end where negative; None: all. source: the model whose states are read, where it is
    not the one that reads them aloud. adapter: applied to the states, [N, D] -> [N, D of model].
    One row each: text, layer, place, token, inject_layer, interpretation, tokens, relevancy,
    relevancy_abs.
    """
    reader, read_by = source or (model, tokenizer)
    rows, vectors = [], []
    for text in [texts] if isinstance(texts, str) else texts:
        ids = list(read_by(text).input_ids)
        places = _places(ids, tokens, text)
        states = states_of(reader, ids, layers)
        for layer in layers:
            vectors.append(states[layer][places])
            rows += [(text, layer, place, str(read_by.decode([ids[place]]))) for place in places]
    if not rows:
        raise InputError("nothing to interpret: no text, no layer or no token")
    table = pd.DataFrame(rows, columns=["text", "layer", "place", "token"])
    found = torch.cat(vectors)
    said = interpret_vectors(
        model, tokenizer, prompt, found, inject_layers, mode, scale, search, adapter
    )
    table = pd.concat([table] * len(inject_layers), ignore_index=True)
    return table.join(said.drop(columns="vector"))


def interpret_vectors(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt | Sequence[Prompt],
    vectors: Tensor,
    inject_layers: Sequence[int] = (1,),
    mode: InjectionMode = "replace",
    scale: float = 1.0,
    search: Search = GREEDY,
    adapter: Callable[[Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """Interpret any vectors [N, D], or [N, V, D] in prompts that number V: vector, inject_layer,
    interpretation, tokens, relevancy, relevancy_abs. A prompt for all, or one for each."""
    prompts = [prompt] if isinstance(prompt, Prompt) else list(prompt)
    mapped = vectors if adapter is None else adapter(vectors)
    depth = len(decoder_blocks(model))
    if not inject_layers or any(not 0 <= block < depth for block in inject_layers):
        raise InputError(f"blocks {list(inject_layers)}: the model has blocks 0 to {depth - 1}")
    if mode not in ("replace", "add", "norm_matched"):
        raise InputError(f"mode {mode!r}: replace, add or norm_matched")
    if not math.isfinite(scale):
        raise InputError(f"scale {scale}: a finite number")
    ends, parts = ends_of(model, tokenizer), []
    for block in inject_layers:
        written = Writing(block, mode, scale)
        readings = read_aloud(model, tokenizer, prompts, mapped, written, search, ends)
        parts += [
            (number, block, said.text, said.tokens, said.relevancy, said.absolute)
            for number, said in enumerate(readings)
        ]
    columns = ["vector", "inject_layer", "interpretation", "tokens", "relevancy", "relevancy_abs"]
    return pd.DataFrame(parts, columns=columns)


@torch.no_grad()
def states_of(
    model: PreTrainedModel, ids: Sequence[int], layers: Sequence[int]
) -> dict[int, Tensor]:
    """The hidden states [T, D] of one text's ids, by layer, in float32."""
    depth = len(decoder_blocks(model))
    if not layers or any(not 0 <= layer <= depth for layer in layers):
        raise InputError(f"layers {list(layers)}: the model has layers 0 to {depth}")
    found = hidden_states(model, torch.tensor([list(ids)], device=model.device), None, layers)
    return {layer: hidden[0].float() for layer, hidden in found.items()}


def _places(ids: Sequence[int], tokens: Sequence[int] | None, text: str) -> list[int]:
    if not ids:
        raise InputError("a text to interpret is empty; it has no token")
    for token in tokens or ():
        if not -len(ids) <= token < len(ids):
            raise InputError(f"token {token} of {text[:30]!r}: it has tokens 0 to {len(ids) - 1}")
    return [token % len(ids) for token in (range(len(ids)) if tokens is None else tokens)]
