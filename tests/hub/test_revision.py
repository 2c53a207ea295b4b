"""What must never be asked for is refused before the first request."""

import pytest

from pipeline.core.console import InputError
from pipeline.hub.fetch import fetch
from pipeline.hub.listing import file_names
from pipeline.hub.models import fetch_model
from tests.support.hub_bench import DATASET, LARGE, MODEL, SMALL, Bench


@pytest.mark.parametrize(
    "revision", ["main", "", "v1.0", "911dbeff", "A" * 40, "a" * 41, "a" * 40 + "\n", "refs/pr/1"]
)
def test_anything_but_a_full_commit_is_refused(bench: Bench, revision: str) -> None:
    bench.publish()
    for refused in (
        lambda: fetch(DATASET, [SMALL], revision, "dataset"),
        lambda: fetch_model(MODEL, revision),
        lambda: file_names(DATASET, revision, "dataset"),
    ):
        with pytest.raises(InputError, match="no full commit; pin 40 hex digits"):
            refused()
    assert bench.hub.seen == []


BAD_NAMES = {
    "upwards": ("../../CANARY.json", "no path inside"),
    "upwards from a folder": ("data/../../../CANARY.json", "no path inside"),
    "absolute": ("/tmp/CANARY.json", "no path inside"),  # noqa: S108
    "of Windows": ("..\\CANARY.json", "no path inside"),
    "a drive": ("C:CANARY.json", "no path inside"),
    "empty": ("", "no path inside"),
    "a folder": ("data/", "no path inside"),
    "two lines": ("a\nb.json", "no path inside"),
    "no text": ("a\0.json", "no path inside"),
    "code": ("modeling_tiny.py", "never fetched"),
    "a pickle": ("pytorch_model.bin", "never fetched"),
    "a pickle in capitals": ("MODEL.PKL", "never fetched"),
    "a checkpoint": ("original/consolidated.00.pth", "never fetched"),
    "an adapter": ("adapter_model.safetensors", "never fetched"),
    "an adapter's config": ("adapter_config.json", "never fetched"),
}


@pytest.mark.parametrize(("name", "message"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_bad_names_are_refused(bench: Bench, name: str, message: str) -> None:
    commit = bench.hub.add("model", MODEL, {name: b"evil", "config.json": b"{}"})
    with pytest.raises(InputError, match=message) as refused:
        fetch(MODEL, ["config.json", name], commit, "model")
    assert str(refused.value).startswith(f"cannot fetch model {MODEL}@{commit[:12]}: ")
    assert str(refused.value).endswith(", or set model.source: embedded")
    assert bench.hub.seen == []


def test_a_digest_of_a_file_that_is_not_wanted_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"pins 'train\.parquet', which is not among the files"):
        fetch(DATASET, [LARGE], bench.publish(), "dataset", {"train.parquet": "0" * 64})
    assert bench.hub.seen == []


def test_a_name_that_is_no_repository_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match="no repository's name; write it as owner/name"):
        fetch("acme/not a name", [SMALL], "0" * 40, "dataset")
    assert bench.hub.seen == []
