"""Which files a revision has is asked once, and never believed by halves."""

from collections.abc import Callable

import pytest

from pipeline.core.console import InputError
from pipeline.hub.listing import file_names
from pipeline.hub.models import fetch_model
from tests.support.hub_bench import (
    CLIENT_TRIES,
    DATASET,
    GONE,
    MODEL,
    PLAIN,
    ROWS,
    Bench,
    assert_sound,
    failing,
    slow,
)

LIST = "GET /api/models/.*/tree/"
BAD_LISTS: dict[str, tuple[Callable[[Bench], object], str, int]] = {
    "500": (failing(LIST, status=500), "HTTP 500", CLIENT_TRIES),
    "429": (failing(LIST, status=429), "HTTP 429", CLIENT_TRIES),
    "taken down": (failing(LIST, status=403, headers=GONE), "taken the repository down", 1),
    "a login page": (failing(LIST, status=200, body=b"<html>"), "not answer like a Hub", 1),
    "another answer": (failing(LIST, status=200, body=b'{"a": 1}'), "the client failed with", 1),
    "dripping": (
        slow(LIST, drip=0.2),
        "sent next to nothing for 0 s",
        1,
    ),
    "offline": (Bench.go_offline, "its list of files is not in the cache", 0),
}


@pytest.mark.parametrize(("arrange", "message", "asked"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_without_the_list_of_files_nothing_is_fetched(
    bench: Bench, arrange: Callable[[Bench], object], message: str, asked: int
) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN)
    with pytest.MonkeyPatch.context() as bench.patch:
        arrange(bench)
        with pytest.raises(InputError, match=message) as refused:
            fetch_model(MODEL, commit)
    assert "\n" not in str(refused.value)
    assert bench.hub.requests(LIST) == asked
    assert bench.hub.requests("resolve") == 0
    bench.hub.heal()
    assert_sound(fetch_model(MODEL, commit)[1], PLAIN)


def test_a_list_of_files_that_comes_late_or_went_bad_is_asked_for_again(
    bench: Bench,
) -> None:
    commit = bench.hub.add("model", MODEL, PLAIN)
    bench.hub.fail(LIST, times=3, status=500)
    files = fetch_model(MODEL, commit)
    assert bench.hub.requests(LIST) == 4
    [kept] = bench.files(f"listings/{commit}.json")
    kept.write_bytes(b"{")
    assert fetch_model(MODEL, commit) == files
    assert bench.hub.requests(LIST) == 5


def test_file_names_are_asked_for_once(bench: Bench) -> None:
    commit = bench.publish()
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)
    bench.go_offline()
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)
    assert len(bench.hub.seen) == 1


def test_a_listing_of_several_pages_is_read_to_its_end(bench: Bench) -> None:
    commit, bench.hub.page = bench.publish(), 1
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)
    assert bench.hub.requests("tree") == len(ROWS)


def test_a_listing_that_breaks_off_is_refused_and_not_kept(bench: Bench) -> None:
    """Half a list of files would make half a model."""
    commit, bench.hub.page = bench.publish(), 2
    bench.hub.fail("cursor=2", status=404, times=99)
    with pytest.raises(InputError, match="cannot fetch dataset"):
        file_names(DATASET, commit, "dataset")
    bench.hub.heal()
    assert file_names(DATASET, commit, "dataset") == sorted(ROWS)
