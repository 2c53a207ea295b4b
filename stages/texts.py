"""Drop texts that are the same to the model once long ones are cut, and count them."""

from pipeline.core.console import run
from pipeline.core.files import read_json, sha256_of, whole, write_json
from pipeline.core.params import load_params
from pipeline.core.paths import (
    BASE_MODEL,
    CORPORA,
    EXAMPLES,
    LEARNED,
    MANIFEST,
    READ_WORDS,
    REQUESTS,
    SAFE_CONTRASTS,
    SEVERAL,
    SHIFTED,
    TEXTS,
)
from pipeline.core.records import Example, ReadWords, Request, read_records, write_records
from pipeline.core.scored_sets import is_of_set
from pipeline.corpora.corpus import count_texts
from pipeline.corpora.cut_texts import ReadText, check_enough, distinct_examples, distinct_requests
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_tokenizer

LEARNED_SPLITS = ("train", "validation")


def main() -> None:
    params = load_params()
    encoder = Encoder(load_tokenizer(BASE_MODEL), params.text)

    def read(pairs: list[tuple[str, str]]) -> list[ReadText]:
        return [ReadText(t.ids[: t.prompt_end + 1], t.ids) for t in encoder.texts(pairs)]

    gathered = [
        example
        for path in (CORPORA / EXAMPLES.name, CORPORA / SHIFTED.name, SEVERAL)
        for example in read_records(path, Example)
    ]
    known = read([(e.prompt, e.response) for e in gathered])
    examples, dropped = distinct_examples(gathered, known)
    learned = {
        tokens.prompt
        for example, tokens in zip(gathered, known, strict=True)
        if example.split in LEARNED_SPLITS
    }
    asked = read_records(CORPORA / REQUESTS.name, Request)
    prompts = [text.prompt for text in read([(request.prompt, "") for request in asked])]
    requests = distinct_requests(asked, prompts, learned)
    if len(requests) < len(asked):
        dropped["requests_of_same_tokens"] = len(asked) - len(requests)
    beside = read_records(CORPORA / SAFE_CONTRASTS.name, Request)
    alike = [text.prompt for text in read([(request.prompt, "") for request in beside])]
    manifest = read_json(CORPORA / MANIFEST.name)
    several = [example for example in examples if example.also]
    learned_from = [e for e in examples if e.split in LEARNED_SPLITS]
    examples = [example for example in examples if not example.also]
    check_enough(manifest["concepts"], examples)
    with whole(TEXTS) as draft:
        write_records(draft / EXAMPLES.name, (e for e in examples if not is_of_set(e.split)))
        write_records(draft / SHIFTED.name, (e for e in examples if is_of_set(e.split)))
        write_records(draft / LEARNED.name, learned_from)
        write_records(draft / REQUESTS.name, requests)
        write_records(draft / SAFE_CONTRASTS.name, distinct_requests(beside, alike, learned))
        write_records(draft / READ_WORDS.name, read_words(encoder, examples, requests))
        written = {file.name: sha256_of(file) for file in draft.iterdir()}
        write_json(
            draft / MANIFEST.name,
            manifest
            | ({"of_several_concepts": len(several)} if several else {})
            | {
                "rows": count_texts(examples),
                "requests": len(requests),
                "dropped": manifest["dropped"] | dropped,
                "sha256": manifest["sha256"] | written,
            },
        )


def read_words(
    encoder: Encoder, examples: list[Example], requests: list[Request]
) -> list[ReadWords]:
    pairs = [(e.prompt, e.response) for e in examples] + [(r.prompt, "") for r in requests]
    ids = [e.id for e in examples] + [r.id for r in requests]
    return [ReadWords(i, *words) for i, words in zip(ids, encoder.words(pairs), strict=True)]


if __name__ == "__main__":
    run(main)
