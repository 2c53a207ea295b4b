"""A file of prompts has one a line, whatever else a line holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.console import InputError
from pipeline.inference.monitor_cli import read_prompts

odd = st.text(st.sampled_from("\u2028\u2029\u0085\x0b\x0c\x1e ab"), max_size=6)


@given(st.lists(odd.map(lambda text: f"a{text}b"), min_size=1, max_size=5), st.booleans())
def test_prompts_end_at_line_feeds_alone(tmp_path: Path, prompts: list[str], mark: bool) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n\u200b\n".join(prompts), encoding="utf-8-sig" if mark else "utf-8")
    assert read_prompts(path) == prompts


def test_prompts_of_which_nothing_is_seen_are_none(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\u200b\n \u2060\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no prompt"):
        read_prompts(path)
