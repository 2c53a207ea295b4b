"""A folder's weights, read as the model that its config describes: all of them, and no others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from pipeline.core.console import InputError, is_out_of_memory, one_line

LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def read_weights(folder: Path, name: str | Path, **options: Any) -> PreTrainedModel:
    """The model of a folder, whose weights are all of its tensors and no others.

    A library would draw what is missing at random, anew at every load. Raises InputError that names
    the first tensor in question, or says why there is no reading the folder.
    """
    try:
        with _quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
                **LOCAL,
            )
    except Exception as error:  # whatever a publisher's files make of a library
        if is_out_of_memory(error):
            raise
        raise InputError(f"{name} cannot be loaded ({one_line(error)}); choose another") from None
    model, report = loaded
    problem = first_misfit(report)
    if problem:
        raise InputError(
            f"{name} is no {type(model).__name__} as its config describes it: its weights "
            f"{problem}; save that very model with save_pretrained, or choose another"
        )
    assert isinstance(model, PreTrainedModel)
    ends = model.generation_config.eos_token_id if model.generation_config else None
    model.generation_config = GenerationConfig(eos_token_id=ends)  # how to sample is not theirs
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's own table of misfits."""
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(level)


def first_misfit(report: Mapping[str, Any]) -> str | None:
    """What is wrong with the first tensor that is missing, unexpected or of another shape; None
    where weights and model have the same tensors."""
    missing, unexpected, mismatched = (
        sorted(report[f"{kind}_keys"]) for kind in ("missing", "unexpected", "mismatched")
    )
    faults = [f"lack {missing[0]}"] if missing else []
    faults += [f"hold {unexpected[0]}, which is none of its tensors"] if unexpected else []
    for tensor, held, wanted in mismatched[:1]:
        faults.append(f"hold {tensor} of shape {[*held]} where it has {[*wanted]}")
    return " and ".join(faults) or None
