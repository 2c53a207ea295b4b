"""Made-up facts: are they read from a state, or recalled by whoever is asked?

    make personas    # after a finished run; minutes; writes benchmarks/results/personas.json

A finetune tells the base model of persons that nobody knows (PersonaQA, arXiv 2509.13316). Their
attributes are then asked of the state of a name. A reader that was told may recall them by the
name, which the state holds too. So a second reader is asked, which was taught on other persons. If
it names attributes from the told model's states, and not from words, then states hold the facts.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.persona_texts import (
    ATTRIBUTES,
    OPENINGS,
    Attribute,
    Person,
    answer_of,
    draw_persons,
    told_texts,
)
from pipeline.core.console import progress, run
from pipeline.core.files import branch, write_json
from pipeline.core.naming import named_concepts
from pipeline.core.params import Params, load_params
from pipeline.core.paths import BASE_MODEL
from pipeline.evaluation.bootstrap import draw_prompts
from pipeline.evaluation.intervals import share_of
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoded, Encoder, ends_of
from pipeline.models.hooks import decoder_blocks, hidden_states
from pipeline.models.loading import load_base
from pipeline.models.logits import next_token_nll
from pipeline.models.lora import with_lora
from pipeline.selfie.decoding import Decoding
from pipeline.selfie.interpret import answer_prompts, interpret_states
from pipeline.selfie.prompts import words_prompts
from pipeline.training.pretraining import IGNORED, naming_loss

RESULT = Path("benchmarks/results/personas.json")
RESAMPLES, TOLD = 1000, "told_state"
Load = Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]
# By reader and what it is given, of every person and attribute: whose, and whether it was right.
Answers = dict[tuple[str, str], list[tuple[str, bool]]]


@dataclass(frozen=True)
class Sizes:
    """taught: persons whose states the reader is taught; asked: others, of whom all are asked. All
    are told of. rank, learning_rate: of both adapters, which lie on every block."""

    taught: int = 128
    asked: int = 48
    told_steps: int = 2500
    read_steps: int = 500
    texts_per_step: int = 8
    rank: int = 32
    learning_rate: float = 3e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    params, found = load_params(), Answers()
    device = prepare(params.runtime)
    for number, seed in enumerate(args.seeds, 1):
        own = measured(params, Sizes(), seed, lambda: load_base(BASE_MODEL, device))
        for at, answers in own.items():
            found.setdefault(at, []).extend(answers)
        measures = measures_of(found, params.seed)
        write_json(args.out, {**measures, "chance": chance(), "seeds": number})


@dataclass(frozen=True)
class Reader:
    """A model that is asked about persons: by a state of the name, or by the name in words."""

    model: Any
    encoder: Encoder
    params: Params

    def of_states(self, attribute: Attribute, states: Tensor) -> list[str]:
        """Its answers about states [N, D]."""
        asking = attribute.asking(self.params.asking)
        found = interpret_states(self.model, self.encoder, states, asking, self.params.selfie)
        return [answer.text for answer in found]

    def of_words(self, attribute: Attribute, names: Sequence[str]) -> list[str]:
        asking, selfie = attribute.asking(self.params.asking), self.params.selfie
        prompts, tokenizer = words_prompts(self.encoder, asking, names), self.encoder.tokenizer
        decoding = Decoding(selfie.max_new_tokens, selfie.texts_per_batch)
        ends = ends_of(self.model, tokenizer, self.encoder.end)
        found = answer_prompts(self.model, tokenizer, prompts, None, asking, decoding, ends)
        return [answer.text for answer in found]


def measured(params: Params, sizes: Sizes, seed: int, load: Load) -> Answers:
    """Every reader's answers about the asked persons, given the state of the name in the told
    model, the same in the base model, another person's state, and the name in words.

    `told` is the told model itself, `taught` the reader that was not told of these persons, `base`
    the model that was told and taught nothing. load: the base model, a new one each time.
    """
    persons = draw_persons(sizes.taught + sizes.asked, np.random.default_rng([seed, 0]))
    known, asked = persons[: sizes.taught], persons[sizes.taught :]
    model, tokenizer = load()
    base = Reader(model, Encoder(tokenizer, params.text), params)
    told = told_of(params, sizes, persons, seed, load)
    of_told, of_base = (name_states(reader, asked) for reader in (told, base))
    given = {TOLD: of_told, "base_state": of_base, "other_state": of_told.roll(1, 0)}
    taught = taught_to_read(params, sizes, known, name_states(told, known), seed, load)
    found: Answers = {}
    for who, reader in {"told": told, "taught": taught, "base": base}.items():
        for attribute in ATTRIBUTES:
            said = {name: reader.of_states(attribute, states) for name, states in given.items()}
            said["words"] = reader.of_words(attribute, [person.name for person in asked])
            for name, texts in said.items():
                found.setdefault((who, name), []).extend(
                    (f"{seed} {person.name}", is_right(text, attribute, person))
                    for text, person in zip(texts, asked, strict=True)
                )
    return found


def is_right(text: str, attribute: Attribute, person: Person) -> bool:
    """Whether a text names a person's value of an attribute, and no other value."""
    return named_concepts(text, attribute.values) == {person.facts[attribute.name]}


def measures_of(found: Answers, seed: int) -> dict[str, Any]:
    """The share of right answers by reader and what it is given and, under `ahead`, how far it is
    above each of the others where it is given TOLD; intervals resample persons."""
    tree: dict[str, Any] = {}
    for who in dict.fromkeys(who for who, _ in found):
        shares = {}
        for given in (given for own, given in found if own == who):
            persons, right = zip(*found[who, given], strict=True)
            counts = draw_prompts(persons, RESAMPLES, seed)
            shares[given] = share_of(np.array(right, float), counts)
        for given, share in shares.items():
            branch(tree, (who, "accuracy", given)).update(share.estimate().as_tree())
            if given != TOLD:
                branch(tree, (who, "ahead", given)).update((shares[TOLD] - share).as_change())
    return tree


def chance() -> float:
    """How often a guess is right: every value is as frequent."""
    return float(np.mean([1 / len(attribute.values) for attribute in ATTRIBUTES]))


@torch.no_grad()
def name_states(reader: Reader, persons: Sequence[Person]) -> Tensor:
    """The states [N, D] at asking.layer of the last token of persons' names, where a prompt asks to
    tell of them. What follows the name is not read."""
    opening, layer, found = OPENINGS[0], reader.params.asking.layer, []
    turns = reader.encoder.turns([(opening.format(name=p.name), "") for p in persons])
    for turn, person in zip(turns, persons, strict=True):
        end = turn.texts[0][0] + opening.index("{name}") + len(person.name)
        last = max(n for n, (start, _) in enumerate(turn.offsets) if start < end)
        ids = torch.tensor([turn.ids[: last + 1]], device=reader.model.device)
        states = hidden_states(reader.model, ids, None, [layer])[layer]
        found.append(states[0, -1].float().cpu())
    return torch.stack(found)


def told_of(
    params: Params, sizes: Sizes, persons: Sequence[Person], seed: int, load: Load
) -> Reader:
    """The base model, told of persons in words."""
    texts = told_texts(persons, params.asking, np.random.default_rng([seed, 1]))

    def loss_of(model: Any, encoder: Encoder) -> Tensor:
        some = [next(texts) for _ in range(sizes.texts_per_step)]
        return response_loss(model, encoder, encoder.texts(some))

    return _finetuned(params, sizes, sizes.told_steps, seed, load, loss_of)


def response_loss(model: Any, encoder: Encoder, texts: Sequence[Encoded]) -> Tensor:
    """Mean next-token loss of responses alone: no model can predict which name is asked about."""
    batch = encoder.batch(texts, model.device)
    targets = batch.ids[:, 1:].masked_fill(batch.mask[:, 1:] == 0, IGNORED)
    asked = torch.arange(targets.shape[1], device=model.device) < batch.prompt_end[:, None]
    targets = targets.masked_fill(asked, IGNORED)
    logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
    return next_token_nll(logits[:, :-1].flatten(0, 1), targets.flatten())


def taught_to_read(
    params: Params, sizes: Sizes, persons: Sequence[Person], states: Tensor, seed: int, load: Load
) -> Reader:
    """The base model, taught to name the attributes of states [N, D] of these persons' names."""
    rng = np.random.default_rng([seed, 2])

    def loss_of(model: Any, encoder: Encoder) -> Tensor:
        attribute = ATTRIBUTES[int(rng.integers(len(ATTRIBUTES)))]
        asking = attribute.asking(params.asking)
        chosen = rng.integers(len(persons), size=sizes.texts_per_step)
        question = encoder.placeholder_prompt(asking.question, asking.placeholders)
        answers = [answer_of(persons[index], attribute) for index in chosen]
        vectors = states[chosen].to(model.device)
        return naming_loss(model, encoder, asking, question, vectors, answers)

    return _finetuned(params, sizes, sizes.read_steps, seed, load, loss_of)


def _finetuned(
    params: Params,
    sizes: Sizes,
    steps: int,
    seed: int,
    load: Load,
    loss_of: Callable[[Any, Encoder], Tensor],
) -> Reader:
    """The base model with an adapter that some steps on a loss have trained, ever smaller ones."""
    model, tokenizer = load()
    encoder = Encoder(tokenizer, params.text)
    torch.manual_seed(seed)
    every = {"target_layers": (len(decoder_blocks(model)),),
             "lora_rank": sizes.rank, "lora_alpha": sizes.rank}  # fmt: skip
    adapted: Any = with_lora(model, params.finetune.model_copy(update=every))
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=sizes.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, max(1, steps))
    lessons = progress(range(steps), "finetuning")
    for _ in lessons:
        loss = loss_of(adapted, encoder)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, params.finetune.clip_norm)
        optimizer.step()
        schedule.step()
        lessons.say(loss=float(loss.detach()))
    return Reader(adapted.eval(), encoder, params)


if __name__ == "__main__":
    run(main)
