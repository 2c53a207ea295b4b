"""Every family of causal language models that transformers knows, as a tiny model, and what the
pipeline makes of it: adopted from a folder, read, adapted, asked, or refused in one line.

Longer than other files, as all laws of a family stand here.

`python -m tests.support.every_family` writes down what is found; the documentation's table is made
of that.
"""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pipeline.core.console import InputError, progress, run
from pipeline.core.files import write_json
from pipeline.core.params import Params
from pipeline.corpora import embedded_corpus
from pipeline.inference.extraction import read_batch
from pipeline.models.building import prepare, train_tokenizer
from pipeline.models.encoding import Encoded, Encoder
from pipeline.models.external_base import adopt
from pipeline.models.generating import generate, ignores_padding
from pipeline.models.hooks import decoder_blocks
from pipeline.models.loading import load_base, load_variant
from pipeline.models.logits import logits_of
from pipeline.models.lora import left_out, save_adapter, with_lora
from pipeline.models.packing import ReadRow, pack, read_row
from pipeline.models.padding import padded
from pipeline.models.reader_check import reader_for
from pipeline.selfie.any_decoder import Injection
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import answer_prompts
from pipeline.selfie.prompts import Prompt
from tests.support.plain_loop import plainly
from tests.support.tiny import move, tiny_params
from tests.support.tiny_configs import tiny_config

TABLE = Path("benchmarks/results/families.json")
CPU = torch.device("cpu")
TARGET = 2
# Variants of a family that are read in another way.
MORE: dict[str, dict[str, Any]] = {
    "opt, narrow embeddings": {"word_embed_proj_dim": 16},
    "mixtral, windows": {"sliding_window": 5},
    "gpt_bigcode, a head of keys each": {"multi_query": False},
}
LENGTHS = (9, 1, 14, 6)
PROMPT = Prompt((1, 40, 41, 9, 9, 42, 60), (3, 4), (0, 0))
HOW = Injection(2, "replace", 1.0)


# Of these no tiny model is made here: parts for pictures or sound that are large, or sizes that
# their configuration does not let be chosen. What they wrap stands under a name of its own.
NOT_TINY = {
    "blt", "dbrx", "dots3_note", "dots3_note_text", "emu3", "fuyu", "gemma3n", "gemma4_assistant",
    "gemma4_unified", "gemma4_unified_assistant", "git", "got_ocr2", "kimi_linear", "mllama",
    "moss_transcribe_diarize", "musicgen", "musicgen_melody", "phi4_multimodal", "qwen4_exp",
    "qwen4_exp_text", "reformer", "roc_bert", "xlstm", "zamba", "zamba2",
}  # fmt: skip
KINDS = sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MORE} - NOT_TINY)


@dataclass(frozen=True)
class Found:
    """What the pipeline makes of a family.

    refused: why it is not read at all, in one line. reads: rows packed or padded. completes:
    prompts of any lengths in batches, or of one length. left_out: the weights below the target that
    get no adapter. adapts, interprets: `yes`, or the line that refuses adapters, or SelfIE.
    """

    refused: str = ""
    reads: str = ""
    completes: str = ""
    left_out: str = ""
    adapts: str = ""
    interprets: str = ""


def tiny(kind: str, vocabulary: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = tiny_config(kind.partition(",")[0], vocab_size=vocabulary, **MORE.get(kind, {}))
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    size = sum(weight.numel() for weight in skeleton.parameters())
    assert size < 7_000_000, f"{kind} has {size} weights"
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return model


def look_at(kind: str, encoder: Encoder, params: Params, folder: Path) -> Found:
    """Raises AssertionError where a law does not hold."""
    tiny(kind, len(encoder.tokenizer)).save_pretrained(folder / "mine")
    encoder.tokenizer.save_pretrained(folder / "mine")
    path = params.model.path.model_copy(update={"location": str(folder / "mine")})
    model = params.model.model_copy(update={"source": "path", "path": path})
    finetune = params.finetune.model_copy(update={"target_layers": (TARGET,)})
    text = params.text.model_copy(update={"prompt_tokens": 12, "response_tokens": 8})
    wanted = params.model_copy(update={"model": model, "finetune": finetune, "text": text})
    try:
        adopt(folder / "base", wanted)
        untouched, _ = load_base(folder / "base", CPU)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* cannot read packed rows; batches are padded")
            read = reader_for(untouched, longest=24)
    except InputError as refused:
        return Found(refused=one_line(refused, str(folder / "mine")))
    reads_as_its_own_forward(untouched, read, wanted)
    batches = completes_in_batches(untouched)
    frozen, _ = left_out(untouched, TARGET)
    interprets = interprets_as_a_plain_loop(untouched)
    adapts = lies_below_the_target(untouched, read, wanted, folder)
    return Found(
        reads="packed" if read is read_row else "padded",
        completes="batches" if batches else "one length",
        left_out=", ".join(frozen),
        adapts=adapts,
        interprets=interprets,
    )


def one_line(refused: InputError, name: str = "") -> str:
    said = str(refused).replace(name, "it") if name else str(refused)
    assert "\n" not in said
    return said


def some_texts(lengths: Sequence[int]) -> list[Encoded]:
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(3, 97, (length,), generator=generator).tolist() for length in lengths]
    return [Encoded(tuple(own), len(own) // 2, len(own) - 1) for own in ids]


@torch.no_grad()
def reads_as_its_own_forward(model: Any, read: ReadRow, params: Params) -> None:
    """Hidden states, logits, and representations at every position."""
    texts, states = some_texts(LENGTHS), {}
    final = read(model, pack(texts), states.__setitem__)
    alone = [model(torch.tensor([text.ids]), output_hidden_states=True) for text in texts]
    expected = [torch.stack(out.hidden_states)[:, 0] for out in alone]  # each [layers, T, D]
    found = torch.stack([states[layer] for layer in sorted(states)])
    torch.testing.assert_close(found, torch.cat(expected, 1), atol=2e-4, rtol=1e-4)
    logits = torch.cat([out.logits[0] for out in alone])
    torch.testing.assert_close(logits_of(model, final), logits.float(), atol=2e-4, rtol=1e-4)
    for layers in ((0, TARGET), (len(states) - 1,)):
        chosen = {"layers": layers, "positions": ("prompt_end", "last", "mean")}
        stored = read_batch(model, read, texts, params.extraction.model_copy(update=chosen))
        at = [
            torch.stack([h[list(layers)][:, t.prompt_end], h[list(layers)][:, t.last],
                         h[list(layers)].mean(1)], 1)
            for h, t in zip(expected, texts, strict=True)
        ]  # fmt: skip
        torch.testing.assert_close(
            torch.from_numpy(stored), torch.stack(at, 2), atol=2e-4, rtol=1e-4
        )


@torch.no_grad()
def completes_in_batches(model: Any) -> bool:
    """Whether rows padded on the left go on as each alone; if so is said, they do."""
    rows = [text.ids for text in some_texts((9, 4))]
    asked = GenerationConfig(max_new_tokens=5, do_sample=False, pad_token_id=0, eos_token_id=None)

    def answers(chosen: Sequence[Sequence[int]]) -> Tensor:
        ids, mask = padded(chosen, 0, "left")
        return generate(model, ids, asked, attention_mask=mask)[:, ids.shape[1] :]

    expected = torch.cat([answers([row]) for row in rows])
    alike = ignores_padding(model)
    assert not alike or answers(rows).tolist() == expected.tolist()
    return alike


def interprets_as_a_plain_loop(model: Any) -> str:
    width = model.get_input_embeddings().weight.shape[1]
    vectors = torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    tokenizer: Any = _Ids()
    try:
        found = answer_prompts(model, tokenizer, [PROMPT], vectors, HOW, Decoding(4, 64), (10**9,))
    except InputError as refused:
        return one_line(refused)
    for answer, vector in zip(found, vectors, strict=True):
        tokens, scores = plainly(model, PROMPT, vector[None], HOW, 4)
        assert [int(token) for token in answer.tokens] == tokens
        torch.testing.assert_close(
            torch.tensor(answer.relevancy), torch.tensor(scores), atol=1e-4, rtol=1e-3
        )
    return "yes"


class _Ids:
    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def lies_below_the_target(model: Any, read: ReadRow, params: Params, folder: Path) -> str:
    """An adapter does; every part of it is trained; it is saved, loaded and merged as it was."""
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        before = model(ids).logits
    try:
        adapted = move(with_lora(model, params.finetune)).eval()
    except InputError as refused:
        return one_line(refused)
    blocks = decoder_blocks(adapted)
    above = [name for block in blocks[TARGET:] for name, _ in block.named_modules()]
    beside = sum("lora_" in name for name, _ in adapted.named_modules())
    within = sum("lora_" in name for block in blocks[:TARGET] for name, _ in block.named_modules())
    assert not [name for name in above if "lora_" in name]
    assert beside == within
    _every_part_is_trained(adapted, read)
    with torch.no_grad():
        expected = adapted(ids).logits
    assert (expected - before).abs().max() > 1e-4
    save_adapter(folder / "adapter", adapted)
    merged, _ = load_variant(folder / "base", folder / "adapter", CPU)
    with torch.no_grad():
        found = merged(ids).logits
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    return "yes"


def _every_part_is_trained(adapted: Any, read: ReadRow) -> None:
    """But for experts that no token was sent to."""
    states: dict[int, Tensor] = {}
    final = read(adapted, pack(some_texts(LENGTHS)), states.__setitem__, TARGET, None)
    assert final is not None
    loss = states[TARGET].square().sum() + final.square().sum()
    parts = {name: w for name, w in adapted.named_parameters() if w.requires_grad}
    gradients = torch.autograd.grad(loss, [*parts.values()], allow_unused=True)
    for name, gradient in zip(parts, gradients, strict=True):
        assert "expert" in name or (gradient is not None and bool(gradient.any())), name


def one_encoder(params: Params) -> Encoder:
    """Of the embedded model's tokenizer."""
    documents = embedded_corpus.unlabelled(params.corpora.embedded, seed=0)
    texts = [f"{d.prompt}\n{d.response}" for d in documents]
    return Encoder(train_tokenizer(texts, params.model.embedded.vocabulary), params.text)


def main() -> None:
    params = tiny_params()
    prepare(params.runtime)
    encoder, found = one_encoder(params), {}
    for kind in progress(KINDS, "looking at families"):
        with tempfile.TemporaryDirectory() as folder:
            found[kind] = asdict(look_at(kind, encoder, params, Path(folder)))
    write_json(TABLE, found)


if __name__ == "__main__":
    run(main)
