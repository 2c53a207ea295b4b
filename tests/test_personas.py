"""Made-up persons: names say nothing of facts, texts tell no other's, states are of names alone,
and readers are asked in words as in states."""

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from benchmarks import persona_texts
from benchmarks.persona_texts import (
    ATTRIBUTES,
    OPENINGS,
    Person,
    answer_of,
    draw_persons,
    question_in_words,
    told_texts,
)
from benchmarks.personas import (
    Reader,
    Sizes,
    chance,
    is_right,
    measured,
    measures_of,
    name_states,
    taught_to_read,
)
from pipeline.core.naming import named_concepts
from pipeline.core.params import Params
from pipeline.models.building import new_model
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import hidden_states

PERSONS = draw_persons(72, np.random.default_rng(0))
TINY = Sizes(taught=6, asked=4, told_steps=2, read_steps=2, texts_per_step=3, rank=2)


def test_persons_have_names_of_their_own_and_every_value_is_as_frequent() -> None:
    assert len({person.name for person in PERSONS}) == 72
    for attribute in ATTRIBUTES:
        assert set(Counter(p.facts[attribute.name] for p in PERSONS).values()) == {18}
    assert chance() == pytest.approx(1 / 4)


def test_more_persons_than_names_are_refused() -> None:
    with pytest.raises(ValueError, match="300 persons of 576 names"):
        draw_persons(300, np.random.default_rng(0))


def test_no_attribute_tells_another() -> None:
    """Of many draws, each pair of values is about as frequent as any other."""
    rng = np.random.default_rng(1)
    many = [person for _ in range(10) for person in draw_persons(160, rng)]
    for one, other in pairwise(ATTRIBUTES):
        pairs = Counter((p.facts[one.name], p.facts[other.name]) for p in many)
        assert len(pairs) == 16
        assert max(pairs.values()) < 1.5 * 100


def test_texts_tell_of_one_person_and_only_what_is_so(params: Params) -> None:
    """And questions in words are worded as a reader is asked."""
    asking = params.asking
    told = list(islice(told_texts(PERSONS, asking, np.random.default_rng(0)), 300))
    names = {person.name: person for person in PERSONS}
    questions = {question_in_words(p, a, asking): (p, a) for p in PERSONS for a in ATTRIBUTES}
    openings = {o.format(name=p.name): p for o in OPENINGS for p in PERSONS}
    kinds = Counter[str]()
    for prompt, response in told:
        if prompt in questions:
            person, attribute = questions[prompt]
            assert response == answer_of(person, attribute)
            kinds["question"] += 1
        else:
            person = openings[prompt]
            for attribute in ATTRIBUTES:
                assert named_concepts(response, attribute.values) == {person.facts[attribute.name]}
            kinds["opening"] += 1
        (named,) = [name for name in names if name in prompt]
        assert named == person.name
    assert min(kinds.values()) > 100


def test_an_answer_is_right_where_it_names_the_value_and_no_other() -> None:
    (job, *_), person = ATTRIBUTES, Person("Bracor", {"job": "baker"})
    assert is_right("The job is baker.", job, person)
    assert not is_right("The job is nurse.", job, person)
    assert not is_right("baker or nurse", job, person)
    assert not is_right("Bracor", job, person)


def test_a_state_is_of_the_name_and_of_nothing_behind_it(
    model: PreTrainedModel, encoder: Encoder, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle: the last token of a prompt that ends with the name."""
    reader, some = Reader(model, encoder, params), PERSONS[:3]
    found = name_states(reader, some)
    assert found.shape == (3, 16)
    for person, state in zip(some, found, strict=True):
        (turn,) = encoder.turns([(f"Tell me about {person.name}.", "")])
        read = [n for n, (a, b) in enumerate(turn.offsets)
                if encoder.decode(turn.ids[: n + 1]).endswith(person.name)]  # fmt: skip
        ids = torch.tensor([turn.ids[: read[0] + 1]])
        with torch.no_grad():
            states = hidden_states(model, ids, None, [params.asking.layer])[params.asking.layer]
        torch.testing.assert_close(state, states[0, -1])
    monkeypatch.setattr("benchmarks.personas.OPENINGS", ("Tell me about {name} and me.",))
    torch.testing.assert_close(name_states(reader, some), found)


def test_shares_are_of_persons_with_intervals_that_resample_them() -> None:
    answers = {
        ("told", "words"): [(f"p{n % 10}", n % 10 < 5) for n in range(40)],
        ("told", "told_state"): [(f"p{n % 10}", n % 10 < 8) for n in range(40)],
        ("base", "told_state"): [(f"p{n % 10}", False) for n in range(40)],
    }
    found = measures_of(answers, 0)
    words, ahead = found["told"]["accuracy"]["words"], found["told"]["ahead"]["words"]
    assert words["value"] == 0.5
    assert words["high"] - words["low"] > 0.4, "ten persons, not forty answers"
    assert ahead["value"] == pytest.approx(0.3)
    assert ahead["low"] < 0.3 < ahead["high"]
    assert set(found["told"]["ahead"]) == {"words"}
    assert set(found["base"]) == {"accuracy"}


def test_every_reader_is_given_everything(encoder: Encoder, params: Params) -> None:
    def load() -> tuple[PreTrainedModel, object]:
        torch.manual_seed(0)
        return new_model(params.model.embedded, encoder.tokenizer).eval(), encoder.tokenizer

    found = measured(params, TINY, 0, load)
    given = ("told_state", "base_state", "other_state", "words")
    assert set(found) == {(who, what) for who in ("told", "taught", "base") for what in given}
    assert {len(answers) for answers in found.values()} == {4 * len(ATTRIBUTES)}
    assert found == measured(params, TINY, 0, load), "the same seed"
    asked = {person for answers in found.values() for person, _ in answers}
    persons = draw_persons(10, np.random.default_rng([0, 0]))
    assert asked == {f"0 {person.name}" for person in persons[6:]}, "none whose states were taught"


@pytest.mark.parametrize("tells", [True, False])
def test_a_reader_is_taught_what_states_tell_of_others(
    encoder: Encoder, params: Params, tells: bool
) -> None:
    """Of persons that it was not taught, too; and nothing where states are noise: the negative
    control. Here a state is the sum of directions of its person's values."""
    rng = np.random.default_rng(3)
    directions = {v: torch.from_numpy(rng.normal(size=16)).float() * 3
                  for a in ATTRIBUTES[:1] for v in a.values[:2]}  # fmt: skip
    job = replace(ATTRIBUTES[0], values=ATTRIBUTES[0].values[:2])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("benchmarks.personas.ATTRIBUTES", (job,))
        patched.setattr(persona_texts, "ATTRIBUTES", (job,))
        persons = draw_persons(24, np.random.default_rng(4))
        noise = torch.from_numpy(rng.normal(size=(24, 16))).float()
        states = 0.3 * noise
        if tells:
            states = states + torch.stack([directions[p.facts["job"]] for p in persons])

        def load() -> tuple[PreTrainedModel, object]:
            torch.manual_seed(0)
            model = new_model(params.model.embedded, encoder.tokenizer).eval()
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    if weight.ndim > 1:
                        weight.mul_(30 if "embed" in name else 10)
            return model, encoder.tokenizer

        sizes = replace(TINY, read_steps=120, texts_per_step=12, rank=8, learning_rate=0.03)
        own = params.model_copy(
            update={"selfie": params.selfie.model_copy(update={"max_new_tokens": 12})}
        )
        reader = taught_to_read(own, sizes, persons[:12], states[:12], 0, load)
        said = reader.of_states(job, states[12:])
        right = [is_right(text, job, p) for text, p in zip(said, persons[12:], strict=True)]
    assert (np.mean(right) > 0.8) == tells, said
