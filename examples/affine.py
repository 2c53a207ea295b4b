"""Put states of other layers and another variant into words, with the base model of the last run.

An affine map carries them to the layer that this model is asked about (Patchscopes, arXiv
2401.06102).

dvc repro && .venv/bin/python -m examples.affine
"""

import pandas as pd
import torch

from pipeline.core.concepts import concept_named
from pipeline.core.console import run
from pipeline.core.params import load_params
from pipeline.core.paths import BASE_MODEL, REPRESENTATIONS
from pipeline.core.representations import load_representations
from pipeline.models.building import prepare
from pipeline.models.encoding import Encoder
from pipeline.models.loading import load_base
from pipeline.selfie.affine_map import fit_affine
from pipeline.selfie.interpret import interpret_states


def main() -> None:
    """Print the accuracy on test texts: without a map, with one that was fitted on training texts,
    and with one that was fitted on shuffled pairs."""
    params = load_params()
    asking, position = params.asking, params.asking.positions[0]
    model, tokenizer = load_base(BASE_MODEL, prepare(params.runtime))
    encoder = Encoder(tokenizer, params.text)
    stored = {
        name: load_representations(REPRESENTATIONS / f"{name}.safetensors")
        for name in dict.fromkeys(("base", *params.figures.compared))
    }
    wanted = torch.from_numpy(stored["base"].at(asking.layer, position, "train")[0])
    order = torch.randperm(len(wanted), generator=torch.Generator().manual_seed(params.seed))
    sources = [("base", layer) for layer in stored["base"].layers]
    sources += [(name, asking.layer) for name in stored if name != "base"]
    rows = []
    for name, layer in sources:
        seen = torch.from_numpy(stored[name].at(layer, position, "train")[0])
        states, concepts = stored[name].at(layer, position, "test")
        given, accuracies = torch.from_numpy(states), []
        for vectors in (given, fit_affine(seen, wanted)(given),
                        fit_affine(seen, wanted[order])(given)):  # fmt: skip
            answers = interpret_states(model, encoder, vectors.float(), asking, params.selfie)
            named = [concept_named(answer.text, sorted(set(concepts))) for answer in answers]
            right = [own == concept for own, concept in zip(named, concepts, strict=True)]
            accuracies.append(sum(right) / len(right))
        rows.append((name, layer, *accuracies))
    table = pd.DataFrame(rows, columns=["states_of", "layer", "as_they_are", "mapped", "shuffled"])
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    run(main)
