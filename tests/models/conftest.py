"""A model's folder as a user has one, and params that name it."""

import copy
from pathlib import Path

import pytest
from transformers import PreTrainedModel

from pipeline.core.params import Params
from pipeline.models.encoding import Encoder

ELSEWHERE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def encoder(encoder: Encoder, params: Params) -> Encoder:
    """One whose tokenizer a test may change."""
    return Encoder(copy.deepcopy(encoder.tokenizer), params.text)


@pytest.fixture
def mine(tmp_path: Path, model: PreTrainedModel, encoder: Encoder) -> Path:
    """A model folder as a user has one, without the tokens that an embedded model is given."""
    folder = tmp_path / "mine"
    model.save_pretrained(folder)
    encoder.tokenizer.chat_template = ELSEWHERE
    encoder.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def wanted(mine: Path, params: Params) -> Params:
    """Params that name the folder."""
    path = params.model.path.model_copy(update={"location": str(mine)})
    model = params.model.model_copy(update={"source": "path", "path": path})
    return params.model_copy(update={"model": model})
