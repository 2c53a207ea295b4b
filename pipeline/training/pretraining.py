"""The embedded base model: a tokenizer and a small Llama, trained here on the corpora's texts.

Besides the language, the model learns two things that a large chat model brings along: to say
what a message is about, and to put a hidden state into words when one stands where a message would.
Without the second, a model of this size cannot interpret its own states at all.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.concepts import answer_about
from pipeline.core.console import InputError, progress
from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Document, Example
from pipeline.core.sections import Asking, EmbeddedModel, Pretraining, Text
from pipeline.models.building import new_model, on_device, train_tokenizer
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.hooks import hidden_states, read_injected
from pipeline.models.logits import logits_of, next_token_nll

IGNORED = -100


def pretrain(
    documents: Sequence[Document],
    described: Sequence[Example],
    model_params: EmbeddedModel,
    params: Pretraining,
    asking: Asking,
    text: Text,
    seed: int,
    device: torch.device,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Train tokenizer and model; fixed steps, so the same seed gives the same bytes."""
    learned = [d for d in documents if d.split == "pretrain"]
    tokenizer = train_tokenizer(
        [f"{d.prompt}\n{d.response}" for d in learned]
        + [answer_about(asking, e.concept) for e in described],
        model_params.vocabulary,
    )
    torch.manual_seed(seed)
    model = on_device(new_model(model_params, tokenizer), device)
    encoder = Encoder(tokenizer, text)
    said = [(d.prompt, d.response) for d in learned]
    rng = rng_of(RandomStream.PRETRAINING, seed)
    asked = round(params.described_share / max(1e-9, 1 - params.described_share) * len(said))
    for index in rng.integers(len(described), size=asked):
        example = described[index]
        question = asking.question.replace("{message}", example.prompt)
        said.append((question, answer_about(asking, example.concept)))
    interpreter = InterpretationLesson(encoder, described, asking, rng)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=params.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=params.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, params))
    batches = bucketed_batches(encoder.texts(said), params.documents_per_step, rng)
    model.train()
    steps = progress(range(params.steps), "pretraining")
    for step in steps:
        loss = language_loss(model, encoder, next(batches))
        if step >= params.interpretation_after and step % params.interpretation_every == 0:
            loss = loss + params.interpretation_weight * interpreter(
                model, params.documents_per_step
            )
        if not torch.isfinite(loss):
            raise InputError(
                f"pretraining diverged at step {step}; lower pretraining.learning_rate"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        steps.say(loss=float(loss.detach()))
    return model.eval(), tokenizer


def language_loss(model: PreTrainedModel, encoder: Encoder, texts: Sequence[Encoded]) -> Tensor:
    """Mean next-token loss over the real tokens of a batch, prompt and response alike."""
    batch = encoder.batch(texts, model.device)
    targets = batch.ids[:, 1:].masked_fill(batch.mask[:, 1:] == 0, IGNORED)
    logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
    return next_token_nll(logits[:, :-1].flatten(0, 1), targets.flatten())


def naming_loss(
    model: Any,
    encoder: Encoder,
    asking: Asking,
    question: Sequence[int],
    vectors: Tensor,
    answers: Sequence[str],
) -> Tensor:
    """Mean next-token loss of answers to a question about hidden states [N, D], which are injected
    over its placeholders. question: as encoder.placeholder_prompt makes it of asking."""
    asked = len(question)
    closed = [[*ids, *encoder.end] for ids in encoder.answers(answers)]
    lesson = encoder.batch(
        [Encoded((*question, *ids), asked - 1, asked + len(ids) - 1) for ids in closed],
        model.device,
    )
    hidden = read_injected(model, lesson.ids, asking, lesson.ids == encoder.slot, vectors)
    targets = lesson.ids[:, 1:].masked_fill(lesson.mask[:, 1:] == 0, IGNORED)
    targets[:, : asked - 1] = IGNORED
    kept = targets != IGNORED
    return next_token_nll(logits_of(model, hidden[:, :-1][kept]), targets[kept])


class InterpretationLesson:
    """Put a message's hidden state into words: the state goes where the message would stand."""

    def __init__(
        self,
        encoder: Encoder,
        described: Sequence[Example],
        asking: Asking,
        rng: np.random.Generator,
    ):
        self.encoder, self.asking, self.rng = encoder, asking, rng
        self.texts = encoder.texts([(e.prompt, e.response) for e in described])
        self.answers = [answer_about(asking, example.concept) for example in described]
        self.question = encoder.placeholder_prompt(asking.question, asking.placeholders)

    def __call__(self, model: PreTrainedModel, count: int) -> Tensor:
        chosen = self.rng.integers(len(self.texts), size=count)
        batch = self.encoder.batch([self.texts[i] for i in chosen], model.device)
        with torch.no_grad():
            layer = self.asking.layer
            states = hidden_states(model, batch.ids, batch.mask, [layer])[layer]
        position = self.asking.positions[int(self.rng.integers(len(self.asking.positions)))]
        vectors = batch.at(states, position)
        answers = [self.answers[i] for i in chosen]
        return naming_loss(model, self.encoder, self.asking, self.question, vectors, answers)


def bucketed_batches(
    texts: Sequence[Encoded], size: int, rng: np.random.Generator
) -> Iterator[list[Encoded]]:
    """Endless batches of texts of like length, so that little of a batch is padding."""
    window = size * 16
    while True:
        order = rng.permutation(len(texts))
        batches = []
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda i: len(texts[i].ids))
            batches += [near[i : i + size] for i in range(0, len(near), size)]
        for index in rng.permutation(len(batches)):
            yield [texts[i] for i in batches[index]]


def _rate(step: int, params: Pretraining) -> float:
    """Linear warmup, a plateau, then a linear fall to two per cent."""
    warm = min(1.0, (step + 1) / params.warmup_steps) if params.warmup_steps else 1.0
    left = (params.steps - step) / max(1, params.steps)
    return warm * max(0.02, min(1.0, left / params.decay_share))
