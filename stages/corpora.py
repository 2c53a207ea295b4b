"""Gather texts labelled with concepts, texts to go on saying, and prompts to be judged by."""

from dataclasses import replace
from pathlib import Path

from pipeline.core.console import run
from pipeline.core.files import whole, write_json
from pipeline.core.params import load_params
from pipeline.core.paths import (
    CORPORA,
    DESCRIBED,
    DOCUMENTS,
    EXAMPLES,
    MANIFEST,
    MULTIPLE_CHOICE,
    REQUESTS,
    SAFE_CONTRASTS,
    SEVERAL,
    SHIFTED,
    SOURCES_LOCK,
)
from pipeline.core.records import write_records
from pipeline.core.sections import Corpora
from pipeline.core.watched import refuse_ignored
from pipeline.corpora import embedded_corpus, folder_corpus, hub_corpus
from pipeline.corpora.corpus import Corpus, check_corpus, write_manifest
from pipeline.corpora.near_duplicates import find_near_duplicates
from pipeline.corpora.prompt_sets import files_of, with_prompt_sets
from pipeline.corpora.questions import continuation_questions


def main() -> None:
    params = load_params()
    prompts = params.corpora.prompts
    corpus = with_prompt_sets(chosen_corpus(params.corpora, params.seed), prompts)
    if prompts.sets:
        files = [path for name in prompts.sets for path in files_of(Path(prompts.folder), name)]
        refuse_ignored(files, "corpora.prompts.folder")
    continuations = continuation_questions(corpus.documents, params.seed)
    corpus = replace(corpus, questions=(*corpus.questions, *continuations))
    check_corpus(corpus)
    if not SOURCES_LOCK.exists():
        write_json(SOURCES_LOCK, {})
    alike = find_near_duplicates((*corpus.labelled, *corpus.several))
    with whole(CORPORA) as draft:
        write_records(draft / EXAMPLES.name, corpus.examples)
        write_records(draft / SEVERAL.name, corpus.several)
        write_records(draft / SHIFTED.name, corpus.shifted)
        write_records(draft / DESCRIBED.name, corpus.described)
        write_records(draft / DOCUMENTS.name, corpus.documents)
        write_records(draft / REQUESTS.name, corpus.requests)
        write_records(draft / SAFE_CONTRASTS.name, corpus.contrasts)
        write_records(draft / MULTIPLE_CHOICE.name, corpus.questions)
        write_manifest(draft / MANIFEST.name, corpus, vars(alike))


def chosen_corpus(wanted: Corpora, seed: int) -> Corpus:
    match wanted.source:
        case "csv":
            corpus = folder_corpus.read_tables(wanted.csv, seed)
            tables = [Path(wanted.csv.folder) / name for name in corpus.sources]
            refuse_ignored(tables, "corpora.csv.folder")
            return corpus
        case "hub":
            return hub_corpus.fetch_corpus(wanted.hub, seed, SOURCES_LOCK)
    return embedded_corpus.draw_corpus(wanted.embedded, seed)


if __name__ == "__main__":
    run(main)
