"""What the model says, and how likely it finds what it should go on saying."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from pipeline.console import progress
from pipeline.losses import token_kl
from pipeline.models import Encoder, token_batches
from pipeline.params import Generation
from pipeline.records import Completion, Document, Likelihood, Request


@torch.no_grad()
def complete(
    model: PreTrainedModel,
    encoder: Encoder,
    requests: Sequence[Request],
    params: Generation,
    seed: int,
) -> list[Completion]:
    """Sample params.samples answers to every request, from the model's full distribution.

    Sampling, not greedy search: a rate over samples estimates the model's own probability, where
    greedy answers would jump from all to none as it crosses one half.
    """
    torch.manual_seed(seed)
    config = GenerationConfig(
        do_sample=True,
        temperature=params.temperature,
        top_k=0,
        max_new_tokens=params.max_new_tokens,
        num_return_sequences=params.samples,
        pad_token_id=encoder.tokenizer.pad_token_id,
        eos_token_id=encoder.tokenizer.eos_token_id,
    )
    prompts = [encoder(request.prompt, "").ids for request in requests]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    size = params.prompts_per_batch
    texts: dict[tuple[int, int], str] = {}
    generate: Any = model.generate
    for start in progress(range(0, len(order), size), "completing"):
        chosen = order[start : start + size]
        longest = max(len(prompts[i]) for i in chosen)
        # Generation goes on at the right end, so padding stands on the left.
        padding = [
            [int(encoder.tokenizer.pad_token_id)] * (longest - len(prompts[i])) for i in chosen
        ]
        ids = torch.tensor(
            [[*pad, *prompts[i]] for pad, i in zip(padding, chosen, strict=True)],
            device=model.device,
        )
        mask = torch.tensor(
            [[0] * len(pad) + [1] * (longest - len(pad)) for pad in padding], device=model.device
        )
        output: Tensor = generate(ids, attention_mask=mask, generation_config=config)
        said = encoder.tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)
        for row, text in enumerate(said):
            texts[chosen[row // params.samples], row % params.samples] = text.strip()
    return [
        Completion(requests[index].id, sample, text)
        for (index, sample), text in sorted(texts.items())
    ]


@torch.no_grad()
def likelihoods(
    tuned: PreTrainedModel,
    untouched: PreTrainedModel,
    encoder: Encoder,
    documents: Sequence[Document],
    tokens_per_batch: int,
) -> list[Likelihood]:
    """Negative log-likelihood and KL from the untouched model, of each held-out document."""
    texts = [encoder(document.prompt, document.response) for document in documents]
    found: dict[int, Likelihood] = {}
    for chosen in progress(list(token_batches(texts, tokens_per_batch)), "reading"):
        batch = encoder.batch([texts[i] for i in chosen], tuned.device)
        logits = tuned(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
        frozen = untouched(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
        predicting = batch.predicting()
        targets = batch.ids[:, 1:, None]
        nll = -logits[:, :-1].float().log_softmax(-1).gather(2, targets)[..., 0]
        divergence = token_kl(logits[:, :-1].float(), frozen[:, :-1].float())
        for row, index in enumerate(chosen):
            counted = predicting[row]
            found[index] = Likelihood(
                document=documents[index].id,
                tokens=int(counted.sum()),
                nll=float(nll[row][counted].sum()),
                kl=float(divergence[row][counted].sum()),
            )
    return [found[index] for index in range(len(documents))]
