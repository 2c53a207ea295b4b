"""Models are observed on held-out texts of every kind, and agree with themselves."""

import copy

import torch
from transformers import PreTrainedModel

from pipeline.core.concepts import requests_of
from pipeline.core.params import Params
from pipeline.core.records import Document, Example, Request
from pipeline.corpora import embedded_corpus, lexicon
from pipeline.edits.comparing import agreements
from pipeline.edits.delta import applied
from pipeline.edits.instructions import Instruction
from pipeline.edits.methods import EditTexts, make_edit
from pipeline.edits.observe import Observing, choose_observed_texts, observe
from pipeline.models.encoding import Encoder

SAFE = ("safe",)


def test_observed_texts_are_held_out_and_of_every_kind(
    params: Params, examples: list[Example], documents: list[Document]
) -> None:
    corpora = params.corpora.embedded
    described = embedded_corpus.described(corpora, 0)
    asked = [*requests_of(examples, SAFE, "validation"), *embedded_corpus.requests(corpora, 0, [])]
    chosen = choose_observed_texts(asked, documents, described, examples, 20, 6)
    kinds = [(r.harmful, r.framed, r.split) for r in chosen.requests]
    assert len(kinds) == 20
    assert all(kinds.count(kind) == 2 for kind in kinds)
    assert {split for *_, split in kinds} == {"validation", "test", "novel"}
    assert all(d.split == "heldout" for d in chosen.documents)
    splits = [e.split for e in chosen.examples]
    assert {s: splits.count(s) for s in splits} == {"validation": 6, "test": 6, "novel": 6}
    assert not {f.concept for f in chosen.facts} & {e.concept for e in examples}
    assert len(chosen.facts) == len(chosen.documents) == 6


def test_every_harm_is_requested_in_every_split(params: Params, examples: list[Example]) -> None:
    """Of requests that come sorted by concept too, as those of labelled texts do."""
    corpora = params.corpora.embedded.model_copy(update={"behaviour": len(lexicon.HARMS)})
    drawn_ones = embedded_corpus.requests(corpora, 0, [])
    chosen_on = requests_of(examples, SAFE, "validation")
    of_texts = [r for split in ("test", "novel") for r in requests_of(examples, SAFE, split)]
    concepts = {e.id: e.concept for e in examples}
    for harm, wishes in lexicon.HARMS.items():
        of_harm = [r for r in drawn_ones if any(wish in r.prompt for wish in wishes)]
        concepts |= {r.id: harm for r in of_harm}
    for scored, kinds in ((drawn_ones, 10), (of_texts, 6)):
        asked = [*chosen_on, *scored]
        chosen = choose_observed_texts(asked, [], [], examples, kinds * len(lexicon.HARMS), 6)
        for split in ("validation", "test", "novel"):
            harms = {concepts[r.id] for r in chosen.requests if r.harmful and r.split == split}
            assert harms == set(lexicon.HARMS), split


def test_validation_requests_are_neither_fitted_on_nor_scored(
    params: Params, examples: list[Example], texts: EditTexts
) -> None:
    """What an edit's settings may be chosen on is neither fitted on nor what scores the edit."""
    chosen_on = requests_of(examples, SAFE, "validation")
    assert {r.split for r in chosen_on} == {"validation"}
    assert sum(r.harmful for r in chosen_on) == 5 * sum(not r.harmful for r in chosen_on) > 0
    prompts = {r.prompt for r in chosen_on}
    scored = embedded_corpus.requests(params.corpora.embedded, 0, [e.prompt for e in examples])
    fitted = [*texts.harmful, *texts.safe, *texts.labelled]
    assert not prompts & {r.prompt for r in scored}
    assert not prompts & {e.prompt for e in fitted}
    assert requests_of(examples, (), "validation") == [], "no concept means harm"


@torch.no_grad()
def test_agreements_count_equal_likeliest_tokens(
    model: PreTrainedModel, encoder: Encoder, documents: list[Document], texts: EditTexts,
    params: Params,
) -> None:  # fmt: skip
    untouched = copy.deepcopy(model)
    with torch.enable_grad():
        row = params.control.edits["supervised"].model_copy(update={"learning_rate": 0.1})
        edit, _ = make_edit(
            model, encoder, texts, row, params.control, params.asking, params.selfie, 0, "x"
        )
    chosen = documents[:5]
    with applied(model, edit):
        found = agreements(model, untouched, encoder, chosen, 200)
        for agreement, document in zip(found, chosen, strict=True):
            ids = torch.tensor([encoder(document.prompt, document.response).ids])
            answers, meant = (m(ids).logits[0, :-1].argmax(-1) for m in (model, untouched))
            assert agreement.agreed == int((answers == meant).sum())
            assert agreement.tokens == ids.shape[1] - 1
        assert any(agreement.agreed < agreement.tokens for agreement in found)
    back = agreements(model, untouched, encoder, chosen, 200)
    assert all(agreement.agreed == agreement.tokens for agreement in back)


def test_a_model_is_observed_with_and_without_requests(
    model: PreTrainedModel, encoder: Encoder, params: Params, examples: list[Example],
    documents: list[Document],
) -> None:  # fmt: skip
    requests = [Request("r", "Explain rain.", True, True, "test")]
    for asked, described in (
        (requests, embedded_corpus.described(params.corpora.embedded, 0)),
        ([], []),
    ):
        chosen = choose_observed_texts(asked, documents, described, examples, 8, 4)
        observing = Observing(
            model, encoder, chosen, params.generation, params.asking, params.selfie, 0
        )
        seen = observe(model, observing)
        assert len(seen.completions) == len(asked) * params.generation.samples
        assert len(seen.facts) == (4 if described else 0)
        assert len(seen.agreements) == len(seen.likelihoods) == len(seen.replies) == 4
        assert len(seen.interpretations) == 3 * 4
        assert all(likelihood.kl == 0 for likelihood in (*seen.likelihoods, *seen.replies))
        assert [row.document for row in seen.said] == [request.id for request in asked]
        told = observe(model, observing, Instruction("Say it in one word."))
        assert told.likelihoods == told.agreements == []
        assert all(row.kl > 0 for row in told.replies), "another prompt, other replies"
        assert [row.tokens for row in told.replies] == [row.tokens for row in seen.replies]
        assert [row.example for row in told.interpretations] == [e.id for e in chosen.examples]
