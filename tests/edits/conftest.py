"""Texts to fit edits on, of the embedded corpora."""

import pytest

from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.edits.methods import EditTexts, choose_edit_texts


@pytest.fixture
def texts(params: Params, examples: list[Example], documents: list[Document]) -> EditTexts:
    return choose_edit_texts(examples, documents, ("safe",), params.control)
