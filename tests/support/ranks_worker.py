"""What every rank of a test does with its share of the texts. Started by torchrun.

torchrun ... -m tests.support.ranks_worker FOLDER replicated|sharded
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from pipeline.core.records import Document, Example, Pair
from pipeline.core.representations import RepresentationsFile, load_representations
from pipeline.core.sections import Finetune
from pipeline.inference.extraction import extract
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.encoding import Encoder
from pipeline.models.hooks import config_of
from pipeline.models.loading import load_base
from pipeline.models.lora import save_adapter, with_lora
from pipeline.training.finetune_data import FinetuneData
from pipeline.training.finetuning import finetune
from pipeline.training.objective import Objective
from pipeline.training.step import StepTexts
from pipeline.training.terms import weights_of
from tests.support.tiny import move, tiny_params

# Knobs of the finetune, the variant's contrast, checkpointing and pairs_per_pass.
SCENARIOS: dict[str, tuple[dict[str, object], str, bool, int]] = {
    "all penalties": (
        {"penalty_texts": ("retain", "pairs", "interpretations")}, "true_negatives", False, 0,
    ),
    "as published, in little memory": (
        {"penalty_texts": ("pairs",), "penalty": "weighted_nll", "retain": "l2"},
        "infonce", True, 2,
    ),
}  # fmt: skip


def work(folder: Path, sharded: bool) -> dict[str, Tensor]:
    """The gradients and terms of one step of 8 pairs in each scenario; representations; then what
    two steps make of the weights in the last."""
    found: dict[str, Tensor] = {}
    for scenario in SCENARIOS:
        objective = new_objective(folder, sharded, scenario)
        found |= {f"{scenario}: {name}": value for name, value in one_step(objective).items()}
    found["representations"] = extracted(folder)
    objective.adapted.zero_grad()
    found |= two_steps(objective, scenario, Checkpoint(folder / "state", "key", every=1))
    save_adapter(folder / "adapter", objective.adapted)
    resumed = new_objective(folder, sharded, scenario)
    again = two_steps(resumed, scenario, Checkpoint(folder / "state", "key", every=1))
    for name, weight in again.items():
        assert torch.equal(weight, found[name])  # all of it was kept, and is taken up again
    return found


def new_objective(folder: Path, sharded: bool, scenario: str) -> Objective:
    params, cpu = tiny_params(), torch.device("cpu")
    _, contrast, checkpointing, pairs_per_pass = SCENARIOS[scenario]
    distributed.join(cpu)
    model, tokenizer = load_base(folder / "base", cpu)
    adapted = move(with_lora(model, params.finetune))
    if sharded:
        distributed.shard(adapted, cpu)
        assert any(isinstance(weight, DTensor) for weight in adapted.parameters())
    variant = params.variants["sft_contrast"].model_copy(update={"steps": 2, "contrast": contrast})
    encoder = Encoder(tokenizer, params.text)
    return Objective(
        adapted, encoder, finetune_params(scenario), variant, params.asking, checkpointing,
        pairs_per_pass,
    )  # fmt: skip


def finetune_params(scenario: str) -> Finetune:
    every = {"pairs_per_step": 8, "retain_per_step": 8, "learning_rate": 1e-3}
    return tiny_params().finetune.model_copy(update=every | SCENARIOS[scenario][0])


def one_step(objective: Objective) -> dict[str, Tensor]:
    texts = [objective.finetuned.encoder(*said(number)) for number in range(24)]
    first, second, kept = (
        list(distributed.share(part, "texts")) for part in (texts[:8], texts[8:16], texts[16:])
    )
    labels = torch.tensor(distributed.share([0, 1, 2, 0, 1, 2, 0, 1], "labels"))
    terms = objective(StepTexts(first, second, labels, retained=kept, answered=kept))
    weights = weights_of(objective.finetuned.variant)
    torch.stack([weights[name] * term for name, term in terms.items()]).sum().backward()
    trained = trained_of(objective)
    distributed.average_gradients(trained.values())
    found = {
        f"gradient.{name}": distributed.full_tensor(weight.grad) for name, weight in trained.items()
    }
    return found | {f"term.{name}": distributed.mean(term.detach()) for name, term in terms.items()}


def two_steps(objective: Objective, scenario: str, checkpoint: Checkpoint) -> dict[str, Tensor]:
    names = [f"text-{number}" for number in range(16)]
    examples = {
        name: Example(name, *said(number), "No.", f"concept {number % 3}", "validation", "test")
        for number, name in enumerate(names)
    }
    pairs = [
        Pair(names[number], names[(number + 3) % 16], f"concept {number % 3}", "whole")
        for number in range(16)
    ]
    documents = [Document(f"document-{n}", *said(n), "pretrain") for n in range(20)]
    data = FinetuneData(examples, pairs, documents)
    finetune(objective, data, finetune_params(scenario), 0, checkpoint)
    return {
        f"weight.{name}": distributed.full_tensor(weight).detach().clone()
        for name, weight in trained_of(objective).items()
    }


def extracted(folder: Path) -> Tensor:
    """The base model's representations of 24 texts, of which every rank reads a part into one
    file."""
    params, cpu = tiny_params(), torch.device("cpu")
    model, tokenizer = load_base(folder / "base", cpu)
    encoder, knobs = Encoder(tokenizer, params.text), params.extraction
    knobs = knobs.model_copy(update={"tokens_per_batch": 60})
    names = tuple(f"text-{number}" for number in range(24))
    space = RepresentationsFile(
        folder / f"space-{distributed.count()}", knobs.layers, knobs.positions, names, names, names,
        config_of(model).hidden_size,
    )  # fmt: skip
    checkpoint = Checkpoint(folder / "reading", "key", every=1)
    texts = [encoder(*said(number)) for number in range(24)]
    extract(model, encoder, texts, knobs, space, checkpoint)
    return torch.from_numpy(load_representations(space.path).values)


def trained_of(objective: Objective) -> dict[str, Tensor]:
    return {n: weight for n, weight in objective.adapted.named_parameters() if weight.requires_grad}


def said(number: int) -> tuple[str, str]:
    """Texts of different lengths, so that ranks hold different numbers of tokens."""
    return f"Explain {'rain ' * (number % 5 + 1)}", f"It is {'wet ' * (number % 7)}{number}."


if __name__ == "__main__":
    target = Path(sys.argv[1])
    outcome = work(target, sharded="sharded" in sys.argv)
    if distributed.is_first():
        save_file({name: value.contiguous() for name, value in outcome.items()}, target / "found")
    distributed.leave()
