"""Probes of all tokens of texts: fitted and asked while a variant's model is at hand.

The tokens' states lie in a file while that is done, and are kept no longer: there are as many times
more of them than of representations as a text has tokens.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from pipeline.core.files import remove
from pipeline.core.finite import check_states
from pipeline.core.records import Example, PooledScore, evenly_spaced
from pipeline.inference.answer_extraction import read_tokens
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.hooks import config_of
from pipeline.monitors.pooled import POOLINGS, fit_pooled
from pipeline.monitors.token_states import States, TokenStates


def pooled_scores(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    safe: Collection[str],
    layer: int,
    most: int,
    tokens_per_batch: int,
    file: Path,
) -> Iterator[PooledScore]:
    """What each kind of pooled probe says of every text, fitted on training texts, its last step
    chosen on validation texts; nothing where training texts are of one kind.

    most: at most so many training texts are learned from, evenly spaced. file: where the states of
    those and of validation texts lie meanwhile; all others are scored as they are read. A batch
    holds at most `tokens_per_batch` tokens.
    """
    learned = evenly_spaced([e for e in examples if e.split == "train"], most)
    stored = learned + [e for e in examples if e.split == "validation"]
    harmful = np.array([e.concept not in safe for e in stored], bool)
    if len(set(harmful[: len(learned)].tolist())) < 2:
        return
    try:
        states = stored_states(model, encoder, stored, layer, tokens_per_batch, file)
        first, known = range(len(learned)), range(len(learned), len(stored))
        probes = [fit_pooled(pooling, states, harmful, first, known) for pooling in POOLINGS]
        for probe in probes:
            logits = probe.logits(states, range(len(stored)))
            for example, logit in zip(stored, logits, strict=True):
                yield PooledScore(example.id, probe.pooling, float(logit))
    finally:
        remove(file)
    names = {example.id for example in stored}
    others = [example for example in examples if example.id not in names]
    texts = encoder.texts([(e.prompt, e.response) for e in others])
    for number, own in checked_states(model, texts, others, layer, tokens_per_batch):
        for probe in probes:
            (logit,), *_ = probe.read(own, np.array([0]))
            yield PooledScore(others[number].id, probe.pooling, float(logit))


def stored_states(
    model: PreTrainedModel,
    encoder: Encoder,
    examples: Sequence[Example],
    layer: int,
    tokens_per_batch: int,
    file: Path,
) -> TokenStates:
    """The states of all tokens of texts, read and written batch by batch.

    Raises InputError for a text whose states are not finite.
    """
    texts = encoder.texts([(e.prompt, e.response) for e in examples])
    lengths = tuple(len(text.ids) for text in texts)
    states = TokenStates(file, lengths, config_of(model).hidden_size, tokens_per_batch)
    file.parent.mkdir(parents=True, exist_ok=True)
    states.make()
    for number, own in checked_states(model, texts, examples, layer, tokens_per_batch):
        states.put(number, own)
    return states


def checked_states(
    model: PreTrainedModel,
    texts: Sequence[Encoded],
    examples: Sequence[Example],
    layer: int,
    tokens_per_batch: int,
) -> Iterator[tuple[int, States]]:
    """The number of each text, and the states [t, D] of its tokens. Raises InputError as above."""
    for number, own in read_tokens(model, texts, layer, tokens_per_batch):
        values = own.cpu().numpy()
        check_states(values[None], [layer], [examples[number].id] * len(values))
        yield number, values
