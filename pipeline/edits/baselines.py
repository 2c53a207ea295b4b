"""What stands beside an edit: an instruction that asks for the same, and a steering vector of equal
effect, observed as the edit is."""

from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors.torch import save_file
from transformers import PreTrainedModel

from pipeline.core.concepts import names_concept
from pipeline.core.edit_observations import INSTRUCTION, STEERING, write_match, write_observations
from pipeline.core.sections import Control, EditRow
from pipeline.edits.delta import Edit, applied
from pipeline.edits.instructions import Instruction
from pipeline.edits.methods import METHODS, EditTexts, steering_direction
from pipeline.edits.observe import Observing, observe, readings
from pipeline.edits.steering import equal_strength, steered
from pipeline.inference.generation import complete

Aim = Callable[[PreTrainedModel], float]
"""What an edit is to change, of a model: a share of validation texts."""


def aim_of(
    row: EditRow, observing: Observing, texts: EditTexts, refuses: Callable[[str], bool]
) -> Aim:
    """The share of answers to harmful validation requests that do not refuse or, where readings are
    rewarded, that of validation texts' hidden states whose reading names their concept; 0 where
    there are none."""
    chosen = observing.chosen

    def answered(model: PreTrainedModel) -> float:
        settings = (observing.encoder, chosen.aimed, observing.generation, observing.seed)
        return _share(not refuses(answer.text) for answer in complete(model, *settings))

    def named(model: PreTrainedModel) -> float:
        examples = [example for example in chosen.examples if example.split == "validation"]
        found = readings(model, observing, examples) if examples else []
        return _share(names_concept(reading, texts.concepts) for reading in found)

    return {"answers": answered, "readings": named}[METHODS[row.method].aims_at]


def observe_beside(
    folder: Path,
    name: str,
    model: PreTrainedModel,
    observing: Observing,
    texts: EditTexts,
    edit: Edit,
    control: Control,
    refuses: Callable[[str], bool],
) -> None:
    """Write what a model does with the instruction of an edit's row, and with a steering vector at
    the edit's layer, of the strength that has the edit's effect on validation texts, into folders
    beside the edit's own; and how that strength was found.

    refuses: whether an answer is a refusal.
    """
    row = control.edits[name]
    asked = observe(model, observing, Instruction(row.instruction))
    write_observations(folder / f"{name}{INSTRUCTION}", asked)

    aim = aim_of(row, observing, texts, refuses)
    before = aim(model)
    with applied(model, edit):
        edit_effect = aim(model) - before
    vector = steering_direction(
        model, observing.encoder, texts, row, observing.asking, observing.selfie
    )

    def effect_of(strength: float) -> float:
        with steered(model, row.layer, strength * vector):
            return aim(model) - before

    match = equal_strength(
        effect_of, edit_effect, control.steering.strengths, control.steering.halvings
    )
    own = folder / f"{name}{STEERING}"
    with steered(model, row.layer, match.strength * vector):
        write_observations(own, observe(model, observing))
    write_match(own, match)
    save_file({"vector": match.strength * vector.cpu()}, own / "vector.safetensors")


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / len(found) if found else 0.0
