"""Published judges of answers at work: a model of the Hub or of a folder, asked in its own format.

Weights are safetensors of a pinned revision, and no code of a publisher's runs. A model is fetched
only where params name it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.core.console import InputError, progress
from pipeline.core.sections import JudgeModel, Judging
from pipeline.evaluation.judge_formats import ANSWER, JUDGE_FORMATS, PROMPT, JudgeFormat, filled
from pipeline.evaluation.judges import Exchange, Finding, Judge
from pipeline.hub.models import fetch_model
from pipeline.inference.answering import prompt_batches
from pipeline.models.building import on_device
from pipeline.models.encoding import ends_of
from pipeline.models.external_base import load_folder
from pipeline.models.finite import FiniteLogits
from pipeline.models.generating import generate, ignores_padding
from pipeline.models.hooks import config_of
from pipeline.models.padding import padded
from pipeline.models.plain_text import PlainTextTokenizer


def judging_models(wanted: Judging, device: torch.device) -> Iterator[tuple[str, Judge]]:
    """Every judge that params name, loaded one after the other."""
    for name, row in wanted.models.items():
        model, tokenizer = load_judge(name, row)
        judge_format = JUDGE_FORMATS[row.format]
        model = on_device(model, device)
        yield name, JudgingModel(model, tokenizer, judge_format, wanted.prompts_per_batch)


def load_judge(name: str, row: JudgeModel) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Raises InputError where a judge cannot be had or read."""
    if row.revision:
        folder, _ = fetch_model(row.repo, row.revision)
    else:
        folder = Path(row.repo)
        if not folder.is_dir():
            raise InputError(
                f"judging.models.{name}: {folder} is no folder; name one that holds a model, or "
                "give the revision of a repository"
            )
    return load_folder(folder)


class JudgingModel:
    """A Judge. What it says is greedy. An answer that does not fit into its context is not read."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        judge_format: JudgeFormat,
        prompts_per_batch: int,
    ):
        self.model, self.tokenizer, self.format = model, tokenizer, judge_format
        self.prompts_per_batch = prompts_per_batch
        self.plain = PlainTextTokenizer(tokenizer)
        text = judge_format.text or _chat(tokenizer)
        self.frame = self.plain.named(text)
        self.config = GenerationConfig(
            do_sample=False,
            max_new_tokens=judge_format.tokens,
            pad_token_id=tokenizer.eos_token_id,
            eos_token_id=ends_of(model, tokenizer),
        )

    @torch.no_grad()
    def __call__(self, exchanges: Sequence[Exchange]) -> list[Finding | None]:
        wordings = [filled(self.frame, exchange) for exchange in exchanges]
        prompts = [encoding.ids for encoding in self.plain.encode(wordings)]
        longest = config_of(self.model).max_position_embeddings - self.format.tokens
        fitting = [i for i, ids in enumerate(prompts) if len(ids) <= longest]
        order = sorted(fitting, key=lambda i: len(prompts[i]))
        alike = ignores_padding(self.model)
        found: dict[int, Finding | None] = {}
        batches = prompt_batches(order, prompts, self.prompts_per_batch, alike)
        for chosen in progress(batches, "judging"):
            said = self._say([prompts[i] for i in chosen])
            found |= zip(chosen, map(self.format.parse, said), strict=True)
        return [found.get(i) for i in range(len(exchanges))]

    def _say(self, prompts: Sequence[Sequence[int]]) -> list[str]:
        assert isinstance(self.config.pad_token_id, int)
        ids, mask = (
            part.to(self.model.device) for part in padded(prompts, self.config.pad_token_id, "left")
        )
        finite = FiniteLogits([f"judged answer {n}" for n in range(len(prompts))])
        output = generate(
            self.model, ids, self.config, attention_mask=mask, logits_processor=[finite]
        )
        said: list[str] = self.tokenizer.batch_decode(
            output[:, ids.shape[1] :], skip_special_tokens=True
        )
        return said


def _chat(tokenizer: PreTrainedTokenizerBase) -> str:
    """The judge's own chat template around a prompt and an answer."""
    if not tokenizer.chat_template:
        raise InputError("a judge of the format llama_guard needs a chat template, and has none")
    turns = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWER}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    if text.count(PROMPT) != 1 or text.count(ANSWER) != 1:
        raise InputError("a judge's chat template does not show prompt and answer once each")
    return text
