"""Transport of a variant, layer by layer; and whether margins foretell gaps, over all variants."""

from collections.abc import Mapping

from pipeline.core.files import Tree
from pipeline.core.representations import Representations
from pipeline.core.sections import Reading, Transport
from pipeline.evaluation.bootstrap import draw_prompts
from pipeline.evaluation.intervals import Estimate, as_tree
from pipeline.evaluation.transport import EXPECTED_SIGN, correlation, transport

Layers = dict[int, dict[str, Estimate]]


def transport_by_layer(
    stored: Representations,
    prompts: Mapping[str, str],
    reading: Reading,
    params: Transport,
    seed: int,
) -> Layers:
    """What transport says at every layer, at the position of headline numbers.

    prompts: of every text, by its id; resamples are drawn by prompt.
    """
    counts = {
        split: draw_prompts([prompts[id] for id in stored.ids_of(split)], reading.resamples, own)
        # Were splits drawn alike, the accuracies of a gap would not vary independently.
        for own, split in enumerate(("train", *stored.held_out()), seed)
    }
    found: Layers = {}
    for layer in stored.layers:
        texts = {split: stored.at(layer, reading.position, split) for split in counts}
        train = texts.pop("train")
        found[layer] = transport(train, texts, counts, params.samples, params.draws, seed)
    return found


def margin_correlations(variants: Mapping[str, Layers], resamples: int, seed: int) -> Tree:
    """By held-out split: the rank correlation of margins with gaps over variants and layers, where
    both are defined; and the sign that the theory expects."""
    points: dict[str, list[tuple[str, float, float]]] = {}
    for name, layers in variants.items():
        for found in layers.values():
            for gap in (key for key in found if key.startswith("gap_") and "kv_margin" in found):
                point = (name, found["kv_margin"].value, found[gap].value)
                points.setdefault(gap.removeprefix("gap_"), []).append(point)
    return {
        **{split: as_tree(correlation(own, resamples, seed)) for split, own in points.items()},
        "expected_sign": EXPECTED_SIGN,
    }
