"""Every family of causal language models that transformers makes from a tiny configuration: read,
adapted, answered and asked as one text at a time would be, or refused in one line."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pipeline.core.console import InputError
from pipeline.core.files import read_json
from pipeline.core.params import Params
from pipeline.core.records import Request
from pipeline.inference import answering, generation
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.generating import ignores_padding
from pipeline.models.packing import pack, read_padded
from pipeline.models.reader_check import reader_for
from pipeline.selfie.any_decoder import Injection
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import answer_prompts
from pipeline.selfie.prompts import Prompt
from tests.support.dag import ROOT
from tests.support.every_family import KINDS, MORE, NOT_TINY, TABLE, look_at, some_texts, tiny

COMMITTED: dict[str, Any] = read_json(ROOT / TABLE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # what libraries say of odd sizes is not looked at here
def test_families_are_read_adapted_and_asked_or_refused_in_one_line(
    kind: str, encoder: Encoder, params: Params, tmp_path: Path
) -> None:
    """The laws stand in `look_at`; `python -m tests.support.every_family` writes the table."""
    prepare(params.runtime)
    assert asdict(look_at(kind, encoder, params, tmp_path)) == COMMITTED[kind]


def test_the_table_of_families_holds_all() -> None:
    assert set(COMMITTED) == set(KINDS)
    assert set(KINDS) == {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MORE} - NOT_TINY
    read = [kind for kind, found in COMMITTED.items() if not found["refused"]]
    assert len(read) > 100
    assert {"gemma3", "mixtral, windows", "xglm"} < set(read)


@torch.no_grad()
def test_families_whose_windows_lie_in_a_mask_are_read_padded_too() -> None:
    """Mixtral's, whose mask once did not fit a padded batch."""
    model, texts = tiny("mixtral, windows", 400), some_texts((9, 3, 14))
    states: dict[int, torch.Tensor] = {}
    read_padded(model, pack(texts), states.__setitem__)
    alone = [model(torch.tensor([t.ids]), output_hidden_states=True).hidden_states for t in texts]
    expected = torch.cat([torch.stack(layers)[:, 0] for layers in alone], 1)
    found = torch.stack([states[layer] for layer in sorted(states)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "alike"), [("llama", True), ("marian", False)])
def test_families_that_count_padding_answer_prompts_of_one_length_at_a_time(
    kind: str, alike: bool, encoder: Encoder, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = tiny(kind, len(encoder.tokenizer))
    masks: list[torch.Tensor] = []
    plain = answering.generate

    def watched(*given: Any, **inputs: Any) -> torch.Tensor:
        masks.append(inputs["attention_mask"])
        return plain(*given, **inputs)

    monkeypatch.setattr(answering, "generate", watched)
    asked = [
        Request(id=text, prompt=text, harmful=False, framed=False, split="test")
        for text in ("Say.", "Tell it.", "Tell me of bread, and how.", "Say!")
    ]
    assert ignores_padding(model) == alike
    answers = generation.complete(model, encoder, asked, params.generation, seed=0)
    assert sorted(answer.request for answer in answers) == sorted(r.id for r in asked)
    assert all(bool(mask.all()) for mask in masks) == (not alike)
    prompts, vectors = (
        [Prompt((1, 9), (1,), (0,)), Prompt((1, 5, 9), (2,), (0,))],
        torch.ones(2, 32),
    )
    how = Injection(1, "replace", 1.0)
    ask: Any = lambda: answer_prompts(  # noqa: E731
        model, encoder.tokenizer, prompts, vectors, how, Decoding(2, 2), (2,)
    )
    if alike:
        assert len(ask()) == 2
    else:
        with pytest.raises(InputError, match=r"counts padding as tokens; give prompts of one"):
            ask()


def test_faults_attention_to_few_chosen_tokens_is_refused_where_texts_are_longer() -> None:
    model = tiny("deepseek_v32", 400)
    model.config.index_topk = 10
    with pytest.warns(UserWarning, match="batches are padded"):
        reader_for(model, longest=10)
    with pytest.raises(InputError, match=r"attends to 10 chosen tokens.*; lower text\.prompt_tok"):
        reader_for(model, longest=11)
