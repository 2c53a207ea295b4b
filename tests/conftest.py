"""Small and exact fakes: a random two-block Llama and its tokenizer, built in a second."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from hypothesis import HealthCheck, settings
from transformers import PreTrainedModel

from benchmarks.processor import processor
from pipeline.core.params import Params
from pipeline.core.records import Document, Example
from pipeline.corpora import embedded_corpus
from pipeline.models.building import new_model, train_tokenizer
from pipeline.models.encoding import Encoder
from pipeline.models.matrix_products import use_openblas
from tests.support import no_network
from tests.support.clones import Edit, editing, finished_clone
from tests.support.no_network import sitecustomize  # noqa: F401 - refuses sockets here
from tests.support.tiny import tiny_params

# Whoever waits for the longest file waits longest where it starts last. The second one here keeps a
# worker busy while the first makes the run that the third one shares.
FIRST = ("test_pipeline.py", "test_hub_stages.py", "test_reruns.py")

THREADS = 1  # among which rows of large products are shared

settings.register_profile(
    "tests",
    deadline=None,  # the first call of a compiled library is slow; that is no failure
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: index for index, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    use_openblas(THREADS)
    # Tests press Ctrl-C also where the shell that runs them in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds a model that somebody has fetched on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is written down that this process, or one that it started, asked for a network."""
    written = tmp_path_factory.mktemp("network") / "attempts"
    os.environ["ATTEMPTS"] = str(written)
    os.environ["PYTHONPATH"] = no_network.PYTHON_PATH
    return written


@pytest.fixture(autouse=True)
def no_attempt(attempts: Path) -> Iterator[None]:
    """A test fails where it, or what its fixtures ran, asked for a network, even if in vain."""
    yield
    if attempts.exists():
        tried = attempts.read_text(encoding="utf-8")
        attempts.unlink()
        pytest.fail(f"asked for a network:\n{tried}")


@pytest.fixture(scope="session")
def params() -> Params:
    return tiny_params()


@pytest.fixture(scope="session")
def examples(params: Params) -> list[Example]:
    described = embedded_corpus.described(params.corpora.embedded, seed=0)
    return embedded_corpus.labelled(params.corpora.embedded, 0, [e.prompt for e in described])


@pytest.fixture(scope="session")
def documents(params: Params) -> list[Document]:
    return embedded_corpus.unlabelled(params.corpora.embedded, seed=0)


@pytest.fixture(scope="session")
def encoder(params: Params, documents: list[Document]) -> Encoder:
    texts = [f"{d.prompt}\n{d.response}" for d in documents]
    return Encoder(train_tokenizer(texts, params.model.embedded.vocabulary), params.text)


@pytest.fixture
def model(params: Params, encoder: Encoder) -> PreTrainedModel:
    """Fresh for every test: finetuning wraps a model in place."""
    torch.manual_seed(0)
    return new_model(params.model.embedded, encoder.tokenizer).eval()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tiny run, to read and to run on in: each file's own."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return finished_clone(tmp_path_factory.mktemp("clone") / "finished", shared)


@pytest.fixture
def edited(clone: Path) -> Iterator[Edit]:
    with editing(clone) as edit:
        yield edit


def pytest_report_header() -> str:
    """Which processor a run was on: results are to be the same on all of them."""
    return f"processor: {processor()}"
