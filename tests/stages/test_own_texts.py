"""Real tables of three other shapes, by params alone, through the stages before any training."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.core.files import read_json
from pipeline.core.params import load_params
from pipeline.core.paths import BASE_MODEL, EXAMPLES, LEARNED, MANIFEST, PAIRS, REQUESTS
from pipeline.core.records import Example, Pair, Request, read_records
from pipeline.core.sections import CsvCorpora
from pipeline.models.building import train_tokenizer
from stages import corpora, pairs, texts
from tests.corpora.test_own_formats import DATA, REAL
from tests.support.tiny import tiny_tree


@pytest.mark.parametrize("name", REAL)
def test_real_tables_become_texts_and_pairs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (DATA / name).is_dir():
        pytest.skip("the real corpora lie beside the project only where it is developed")
    knobs, concepts, _ = REAL[name]
    monkeypatch.chdir(tmp_path)
    write_params(knobs | {"folder": str(DATA / name)})
    corpora.main()
    train_tokenizer(["how do I find my card?"], 400).save_pretrained(BASE_MODEL)
    texts.main()
    pairs.main()
    examples, learned = read_records(EXAMPLES, Example), read_records(LEARNED, Example)
    several = [example for example in learned if example.also]
    assert [e for e in learned if not e.also] == [e for e in examples if e.split != "test"]
    manifest = read_json(MANIFEST)
    assert len(manifest["concepts"]) == concepts
    assert manifest.get("of_several_concepts", 0) == len(several)
    own = {e.id: {*e.concepts} for e in learned}
    drawn = read_records(PAIRS / "given-balanced.jsonl", Pair)
    assert {pair.concept for pair in drawn} >= {*manifest["concepts"]} or len(drawn) < concepts
    for pair in drawn:
        assert {pair.concept, *pair.first_also} == own[pair.first]
        assert {pair.concept, *pair.second_also} == own[pair.second]
    asked = read_records(REQUESTS, Request)
    assert {request.harmful for request in asked} == ({True, False} if manifest["safe"] else set())


def write_params(knobs: dict[str, Any]) -> None:
    tree = tiny_tree()
    own = tree["corpora"]["csv"]
    assert knobs.keys() <= CsvCorpora.model_fields.keys()
    own["safe"] = []
    own.update({k: list(v) if isinstance(v, tuple) else v for k, v in knobs.items()})
    tree["corpora"]["source"] = "csv"
    tree["text"] = {"prompt_tokens": 400, "response_tokens": 8}
    tree["model"]["embedded"]["context"] = 1024
    with Path("params.yaml").open("w", encoding="utf-8") as out:
        YAML().dump(tree, out)
    load_params()
