"""Hidden states of any Hugging Face decoder in words, as a table.

    prompt = InterpretationPrompt(tokenizer, ("Message: ", 0, 0, 0, " What is it about?"))
    table = interpret(model, tokenizer, prompt, "How do I bake bread?", layers=[8, 16])
    print(table[["layer", "token", "interpretation"]])

The states may be another model's, carried over by an affine map (Patchscopes, arXiv 2401.06102).
Vectors that are no states, such as means, differences and directions, are interpreted in the same
way.
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
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import answer_prompts
from pipeline.selfie.prompts import InterpretationPrompt, Prompt

__all__ = [
    "Decoding",
    "Injection",
    "InterpretationPrompt",
    "interpret",
    "interpret_vectors",
    "states_of",
]

GREEDY = Decoding(max_new_tokens=30, per_batch=64)


@dataclass(frozen=True)
class Injection:
    """At the input of which block a vector is written, in which mode, and at what scale
    (pipeline.models.hooks.injection)."""

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
    decoding: Decoding = GREEDY,
    source: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
    adapter: Callable[[Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """Interpret the hidden states of texts, one row for each text, layer, token and injected block.

    texts: tokenised as they stand, with the tokenizer's own opening token. layers: Hugging Face's
    count, 0 for the embeddings and l for the output of block l - 1. tokens: indices into a text's
    tokens, negative ones from its end; None: all of them. inject_layers, mode, scale: see
    `Injection`. source: the model and tokenizer whose states are interpreted, where they are not
    `model`'s. adapter: maps those states [N, D] to vectors [N, E] of `model`'s width.

    Columns: text, layer, token_index, token, inject_layer, interpretation, tokens, relevancy (one
    number in [-1, 1] for each token) and relevancy_abs.
    Raises InputError for a layer, token, block, mode, scale or vector that does not fit.
    """
    source_model, source_tokenizer = source or (model, tokenizer)
    rows, vectors = [], []
    for text in [texts] if isinstance(texts, str) else texts:
        ids = list(source_tokenizer(text).input_ids)
        indices = _token_indices(ids, tokens, text)
        states = states_of(source_model, ids, layers)
        for layer in layers:
            vectors.append(states[layer][indices])
            rows += [
                (text, layer, index, str(source_tokenizer.decode([ids[index]])))
                for index in indices
            ]
    if not rows:
        raise InputError("nothing to interpret: no text, no layer or no token")
    table = pd.DataFrame(rows, columns=["text", "layer", "token_index", "token"])
    interpretations = interpret_vectors(
        model, tokenizer, prompt, torch.cat(vectors), inject_layers, mode, scale, decoding, adapter
    )
    table = pd.concat([table] * len(inject_layers), ignore_index=True)
    return table.join(interpretations.drop(columns="vector"))


def interpret_vectors(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt | Sequence[Prompt],
    vectors: Tensor,
    inject_layers: Sequence[int] = (1,),
    mode: InjectionMode = "replace",
    scale: float = 1.0,
    decoding: Decoding = GREEDY,
    adapter: Callable[[Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """Interpret any vectors, one row for each vector and injected block.

    prompt: one for all vectors, or one for each. vectors: [N, D], or [N, V, D] for prompts that
    number V of them. The other arguments are those of `interpret`.

    Columns: vector (its number, from 0), inject_layer, interpretation, tokens, relevancy and
    relevancy_abs. Raises InputError for a block, mode, scale or vector that does not fit.
    """
    prompts = [prompt] if isinstance(prompt, Prompt) else list(prompt)
    mapped = vectors if adapter is None else adapter(vectors)
    depth = len(decoder_blocks(model))
    if not inject_layers or any(not 0 <= block < depth for block in inject_layers):
        raise InputError(f"blocks {list(inject_layers)}: the model has blocks 0 to {depth - 1}")
    if mode not in ("replace", "add", "norm_matched"):
        raise InputError(f"mode {mode!r}: replace, add or norm_matched")
    if not math.isfinite(scale):
        raise InputError(f"scale {scale}: a finite number")
    ends, rows = ends_of(model, tokenizer), []
    for block in inject_layers:
        injection = Injection(block, mode, scale)
        answers = answer_prompts(model, tokenizer, prompts, mapped, injection, decoding, ends)
        rows += [
            (number, block, answer.text, answer.tokens, answer.relevancy, answer.absolute)
            for number, answer in enumerate(answers)
        ]
    columns = ["vector", "inject_layer", "interpretation", "tokens", "relevancy", "relevancy_abs"]
    return pd.DataFrame(rows, columns=columns)


@torch.no_grad()
def states_of(
    model: PreTrainedModel, ids: Sequence[int], layers: Sequence[int]
) -> dict[int, Tensor]:
    """The hidden states [T, D] of one text's token ids, by layer, in float32 on the model's device.

    Raises InputError for no layer, or one that the model does not have.
    """
    depth = len(decoder_blocks(model))
    if not layers or any(not 0 <= layer <= depth for layer in layers):
        raise InputError(f"layers {list(layers)}: the model has layers 0 to {depth}")
    found = hidden_states(model, torch.tensor([list(ids)], device=model.device), None, layers)
    return {layer: hidden[0].float() for layer, hidden in found.items()}


def _token_indices(ids: Sequence[int], tokens: Sequence[int] | None, text: str) -> list[int]:
    """The chosen tokens' indices, counted from the start of the text."""
    if not ids:
        raise InputError("a text to interpret is empty; it has no token")
    for token in tokens or ():
        if not -len(ids) <= token < len(ids):
            raise InputError(f"token {token} of {text[:30]!r}: it has tokens 0 to {len(ids) - 1}")
    return [token % len(ids) for token in (range(len(ids)) if tokens is None else tokens)]
