"""Does the model's own description of a hidden state name its concept, and more than a guess?

Intervals resample prompts: texts that share one come and go together. All shares are of the same
resamples, so that two of them can be held against each other text by text.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from pipeline.core.concepts import concept_named, names_concept, speaks_of_concept
from pipeline.core.files import KeyPath, Tree, branch
from pipeline.core.naming import share_of_words_said
from pipeline.core.records import (
    AFFINE,
    AFFINE_CONTROLS,
    BASELINES,
    CONTROLS,
    CROSSINGS,
    REFERENCES,
    Example,
    Interpretation,
)
from pipeline.evaluation.against_base import metrics_tree
from pipeline.evaluation.bootstrap import (
    Counts,
    draw_labellings,
    draw_prompts,
    draw_resamples,
)
from pipeline.evaluation.confidence import CONFIDENCE, GAINS
from pipeline.evaluation.intervals import Estimate, Statistic, estimate_chance, share_of
from pipeline.evaluation.moved_states import FOLLOWS

# On resamples [1 + R], by layer_<l>, split, position, and what answers for the state. What is
# measured at the asked layer alone has another word in the layer's place.
Accuracies = dict[KeyPath, Statistic]
CROSSED, AHEAD, AFFINE_AHEAD, RECALL = "crossed", "ahead_of", "affine_ahead_of", "recall"
# What is held against the untouched model; what is the same for every variant cannot change.
CHANGES = ("state", "lead", *BASELINES, *CROSSINGS, "probe", AFFINE)
RULE, JUDGE = "rule", "judged"  # who says whether an interpretation is right


def accuracies_by_judge(
    interpretations: Sequence[Interpretation],
    concepts: Sequence[str],
    chosen: Mapping[str, str],
    prompts: Mapping[str, str],
    resamples: int,
    seed: int,
) -> dict[str, Accuracies]:
    """By rule, and as the judge model says where there is one. chosen: its concept, by text."""
    verdicts = {RULE: [names_concept(one, concepts) for one in interpretations]}
    if chosen:
        verdicts[JUDGE] = [speaks_of_concept(one, chosen) for one in interpretations]
    return {
        judge: accuracies(interpretations, right, prompts, resamples, seed)
        for judge, right in verdicts.items()
    }


def accuracies(
    interpretations: Sequence[Interpretation],
    right: Sequence[bool],
    prompts: Mapping[str, str],
    resamples: int,
    seed: int,
) -> Accuracies:
    """The share of interpretations that a judge finds right, on resamples.

    right: the verdict on each interpretation. prompts: of every example. `state` is the
    interpretation itself, every other name a control or a baseline: what the question, a random
    vector or another state gives away, what the words say, and what the logit lens sees. `lead` is
    the state's share less that of the best control, which is the one that is right most often.
    Under CROSSED stand who else reads whose states and what else names the concept, and under AHEAD
    the state's share less that of each of these and of the baselines; under AFFINE_AHEAD, the same
    of affine reading less its controls, and less a reader that was taught the same labels.
    """
    shares = shares_by_path(
        ((path_of(record), prompts[record.example], float(found))
         for record, found in zip(interpretations, right, strict=True)),
        resamples, seed,
    )  # fmt: skip
    branches = dict.fromkeys(path[:-1] for path in shares if path[0] != CROSSED)
    layers = {f"layer_{layer}" for layer in asked_layers(interpretations)}
    leads = {(*path, "lead"): lead(shares, path) for path in branches}
    ahead = {
        path: values
        for branch in branches
        if branch[0] in layers
        for path, values in _ahead(shares, branch)
    }
    return shares | leads | ahead


def recalls(
    interpretations: Sequence[Interpretation],
    prompts: Mapping[str, str],
    resamples: int,
    seed: int,
) -> Accuracies:
    """Topic recall: the share of a label's words that is said, whatever else is, at the asked
    layer. Under RECALL by split, position, and what answers for the state."""
    layers = asked_layers(interpretations)
    return shares_by_path(
        (((RECALL, *path_of(record)[1:]), prompts[record.example],
          share_of_words_said(record.text, record.concept))
         for record in interpretations if record.layer in layers),
        resamples, seed,
    )  # fmt: skip


def shares_by_path(
    values: Iterable[tuple[KeyPath, str, float]], resamples: int, seed: int
) -> Accuracies:
    """The mean at every path of values in [0, 1], each of a prompt, on resamples of prompts."""
    texts: dict[KeyPath, list[str]] = {}
    verdicts: dict[KeyPath, list[float]] = {}
    for path, prompt, value in values:
        texts.setdefault(path, []).append(prompt)
        verdicts.setdefault(path, []).append(value)
    drawn: dict[tuple[str, ...], Counts] = {}
    shares: Accuracies = {}
    for path, asked in texts.items():
        if tuple(asked) not in drawn:
            drawn[tuple(asked)] = draw_prompts(asked, resamples, seed)
        counts = drawn[tuple(asked)]
        shares[path] = share_of(np.array(verdicts[path]), counts)
    return shares


def asked_layers(interpretations: Iterable[Interpretation]) -> set[int]:
    """The layer whose states others read, too; none where nobody does."""
    return {record.layer for record in interpretations if _is_crossed(record)}


def path_of(record: Interpretation) -> KeyPath:
    """Where the share of what answers for states of a layer, split and position stands."""
    branch = CROSSED if _is_crossed(record) else f"layer_{record.layer}"
    return branch, record.split, record.position, record.control


def _is_crossed(record: Interpretation) -> bool:
    return record.control in (*CROSSINGS, *REFERENCES, AFFINE, *AFFINE_CONTROLS)


def _ahead(shares: Accuracies, branch: KeyPath) -> Iterator[tuple[KeyPath, Statistic]]:
    """How far the state is above all that can do better than chance, at the asked layer, and
    affine reading of it above what it is held against."""
    layer, *texts = branch
    others = {other: (layer, *texts, other) for other in BASELINES}
    others |= {other: (CROSSED, *texts, other) for other in (*CROSSINGS, *REFERENCES, AFFINE)}
    for other, path in others.items():
        if path in shares:
            yield (AHEAD, *texts, other), shares[*branch, "state"] - shares[path]
    if (CROSSED, *texts, AFFINE) in shares:
        beside = {"state": (*branch, "state")}
        beside |= {o: (CROSSED, *texts, o) for o in ("reader_only", *AFFINE_CONTROLS)}
        for other, path in beside.items():
            ahead = shares[CROSSED, *texts, AFFINE] - shares[path]
            yield (AFFINE_AHEAD, *texts, other), ahead


def lead(shares: Accuracies, branch: KeyPath) -> Statistic:
    """How far the state is above its best control at one layer, split and position: [1 + R]."""
    controls = [shares[*branch, control] for control in CONTROLS if (*branch, control) in shares]
    return shares[*branch, "state"] - max(controls, key=lambda share: share.value)


def metrics_by_judge(
    found: Mapping[str, Accuracies], base: Mapping[str, Accuracies] | None
) -> Tree:
    """The rule's tree, and within it the judge model's under its name."""
    trees = {
        judge: interpretation_metrics(shares, base[judge] if base else None)
        for judge, shares in found.items()
    }
    return {**trees.pop(RULE), **trees}


def interpretation_metrics(shares: Accuracies, base: Accuracies | None) -> Tree:
    """All shares with intervals, and under `difference` how far those of CHANGES, and how far moved
    states are followed, are above the untouched model's, of the same texts. A control has none:
    which one is best may differ between the two models. What is a difference itself, under AHEAD,
    AFFINE_AHEAD, FOLLOWS and GAINS, has its p value beside it."""
    tree = metrics_tree(shares, base, has_difference=_has_difference)
    for path, found in shares.items():
        if path[0] in (AHEAD, AFFINE_AHEAD) or FOLLOWS in path or path[-1] in GAINS:
            branch(tree, path).update(found.as_change())
    return tree


def _has_difference(path: KeyPath) -> bool:
    if path[0] == CONFIDENCE:
        return path[-3] in CHANGES and path[-1] != "mean"
    return FOLLOWS in path or (path[0] not in (AHEAD, AFFINE_AHEAD) and path[-1] in CHANGES)


def texts_naming_a_concept(
    interpretations: Iterable[Interpretation], concepts: Sequence[str]
) -> Counter[tuple[str, str]]:
    """How often each text was said of a state, for texts that name one concept by rule, and that
    concept."""
    named: Counter[tuple[str, str]] = Counter()
    for one in interpretations:
        concept = concept_named(one.text, concepts)
        if one.control == "state" and concept is not None:
            named[one.text, concept] += 1
    return named


def judge_measures(
    chosen: Mapping[str, str],
    named: Mapping[tuple[str, str], int],
    examples: Sequence[Example],
    resamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """What a judge model is worth. chosen: the concept that it chooses, by text. named: as of
    `texts_naming_a_concept`.

    agreement: the share of what was said of states and names one concept for which the judge
    chooses that concept. A text weighs as often as it was said, and its interval resamples distinct
    texts: the judge decides a text once. words: how often it chooses the concept of examples shown
    their own words, and words_shuffled the same by permuted concepts: the mean, and the range of
    95 % of the permutations.
    """
    found: dict[str, Estimate] = {}
    if named:
        agrees = np.array([chosen[text] == concept for text, concept in named], dtype=float)
        said = draw_resamples(len(named), resamples, seed) * np.array([*named.values()])
        found["agreement"] = share_of(agrees, said).estimate()
    words = np.array([chosen[example.words] for example in examples])
    concepts = np.array([example.concept for example in examples])
    right = (draw_labellings(concepts, resamples, seed) == words).astype(float)
    counts = draw_prompts([example.prompt for example in examples], resamples, seed)
    found["words"] = share_of(right[0], counts).estimate()
    found["words_shuffled"] = estimate_chance(right.mean(1))
    return found
