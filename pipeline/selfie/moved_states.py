"""A causal test of interpretations: a state is moved along a concept's direction. Does what is said
of it follow, and how far must it be moved?

A reader that names the right concept by something else than the state, or by a part of it that a
probe does not see, does not follow. As far in a random direction, a reader should stay.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from pipeline.core.random_streams import RandomStream, rng_of
from pipeline.core.records import Example, MovedInterpretation
from pipeline.core.representations import Representations
from pipeline.core.sections import Asking, Selfie
from pipeline.models.encoding import Encoder
from pipeline.selfie.interpret import interpret_states


def interpret_moved(
    reader: PreTrainedModel,
    encoder: Encoder,
    stored: Representations,
    examples: Sequence[Example],
    asking: Asking,
    params: Selfie,
    seed: int,
) -> list[MovedInterpretation]:
    """What a reader says of states at asking.layer that were moved by 0 and by params.moves per
    cent of their way to another concept, and as far in a random direction.

    One record for each position, direction, size and example; none of an example whose concept has
    no training text, and none at all where a single concept has some.
    """
    known = sorted({c for c, s in zip(stored.concepts, stored.splits, strict=True) if s == "train"})
    examples = [example for example in examples if example.concept in known]
    targets = targets_of([example.concept for example in examples], known)
    found: list[MovedInterpretation] = []
    for position in asking.positions if targets else ():
        ids = [example.id for example in examples]
        states = stored.of_texts(ids, asking.layer, position)
        directions = directions_of(stored, examples, targets, asking.layer, position, seed)
        for direction, way in directions.items():
            for per_cent in (0, *params.moves):
                moved = torch.from_numpy(states + np.float32(per_cent / 100) * way)
                answers = interpret_states(reader, encoder, moved, asking, params)
                found += [
                    MovedInterpretation(
                        e.id, e.concept, target, position, direction, per_cent, answer.text
                    )
                    for e, target, answer in zip(examples, targets, answers, strict=True)
                ]
    return found


def targets_of(concepts: Sequence[str], known: Sequence[str]) -> list[str]:
    """Another concept for each text: the texts of one concept take the others in turn. Nothing
    where a single concept is known."""
    if len(known) < 2:
        return []
    turns = dict.fromkeys(known, 0)
    targets = []
    for concept in concepts:
        others = [name for name in known if name != concept]
        targets.append(others[turns[concept] % len(others)])
        turns[concept] += 1
    return targets


def directions_of(
    stored: Representations,
    examples: Sequence[Example],
    targets: Sequence[str],
    layer: int,
    position: str,
    seed: int,
) -> dict[str, NDArray[np.float32]]:
    """The whole way of each text, [N, D]: `concept`, the mean state of the target's training texts
    minus that of its own concept's; `random`, Gaussian with the training states' standard deviation
    in each dimension, as long as the former."""
    seen, labels = stored.at(layer, position, "train")
    means = {concept: seen[labels == concept].mean(0) for concept in np.unique(labels)}
    way = np.stack([means[t] - means[e.concept] for e, t in zip(examples, targets, strict=True)])
    noise = rng_of(RandomStream.MOVES, seed).normal(size=way.shape) * seen.std(0)
    lengths, drawn = (np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (way, noise))
    random = noise * lengths / np.where(drawn > 0, drawn, 1)
    return {"concept": way.astype(np.float32), "random": random.astype(np.float32)}
