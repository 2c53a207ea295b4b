"""The SEER/TELLME finetune: concepts gather and part at one layer, the rest stays as it was.

L = w_contrast L_contrast + w_retain L_retain + w_penalty L_penalty + w_response L_response
(arXiv 2502.05242; the last term is plain finetuning on safe responses, alone or beside it).
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.core.console import InputError, progress
from pipeline.core.files import whole
from pipeline.core.sections import Finetune
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint
from pipeline.models.peft_import import PeftModel
from pipeline.training.finetune_data import FinetuneData, step_records, step_texts
from pipeline.training.losses import CONTRASTS
from pipeline.training.objective import Objective
from pipeline.training.scale import standardise
from pipeline.training.terms import RIVALS, weights_of
from pipeline.training.validation import Validation


@dataclass(frozen=True)
class CurvePoint:
    """A point of the learning curve.

    The terms, unweighted (0 where a variant does not use them), and the gradient's norm, averaged
    over the steps since the point before; then, on watched validation texts, the gap between
    cosines within and between concepts at the target layer, and the KL from the frozen model.
    """

    step: int
    contrast: float
    retain: float
    penalty: float
    response: float
    gradient_norm: float
    gap: float
    kl: float


def finetune(
    objective: Objective,
    data: FinetuneData,
    params: Finetune,
    seed: int,
    checkpoint: Checkpoint,
    watch: Callable[[Sequence[CurvePoint]], None] = lambda curve: None,
) -> list[CurvePoint]:
    """Train one variant's adapter for its fixed number of steps; returns the learning curve.

    Every step takes the next params.pairs_per_step pairs, and params.retain_per_step documents
    that the model should go on reading as before. What a step draws depends on the seed and its
    number alone, so that a run which goes on from a checkpoint ends with the same bytes.
    A variant of 0 steps is the untouched model. `watch` is given the learning curve whenever it
    has a new point.
    Raises InputError where there is nothing that the variant could learn, where the objective
    diverges, or the model makes no finite numbers of a text even without its adapter; the last
    good checkpoint stays.
    """
    variant = objective.finetuned.variant
    if variant.steps == 0:
        return []
    if variant.response_weight and not any(e.safe_response for e in data.examples.values()):
        raise InputError(
            "no training text has a response, and this variant has a response_weight; set it to 0, "
            "or take the row out of variants"
        )
    if variant.contrast in RIVALS and not data.harmful:
        raise InputError(
            f"contrast: {variant.contrast} moves texts with a harmful answer, and this corpus has "
            "none; choose another contrast"
        )
    if params.states == "standardised" and variant.contrast in CONTRASTS:
        at_once = objective.pairs_per_pass or params.pairs_per_step
        standardise(objective, data, 2 * at_once)
    run = FinetuneRun(objective.adapted, params)
    validation = Validation(objective, list(data.examples.values()), params.watched_texts)
    run.restore(checkpoint)
    weights = weights_of(variant)
    steps = progress(range(run.done + 1, variant.steps + 1), "finetuning")
    for step in steps:
        torch.manual_seed(seed + step + 1000003 * distributed.rank())  # decides dropout alone
        texts = step_texts(objective.finetuned.encoder, data, params, seed, step)
        terms = objective(dataclasses.replace(texts, progress=step / variant.steps))
        try:
            steps.say(step=step, loss=run.learn(terms, weights, params))
        except InputError:
            check_frozen(objective, data, params, seed, step)
            raise
        if step % params.watch_every == 0 or step == variant.steps:
            run.note(*validation.measure())
            steps.say(gap=run.curve[-1].gap)
            if distributed.is_first():
                watch(run.curve)
        if checkpoint.is_due(step):
            run.keep(checkpoint)
    return run.curve


def check_frozen(
    objective: Objective, data: FinetuneData, params: Finetune, seed: int, step: int
) -> None:
    """Raises InputError for a text of a step of which the model makes no finite numbers with its
    adapter switched off: then no learning rate is to blame."""
    pairs, kept = step_records(data, params, seed, step)
    named = (data.examples[name] for pair in pairs for name in (pair.first, pair.second))
    objective.check_frozen([*named, *kept])


class FinetuneRun:
    """The state of a finetune between two steps."""

    def __init__(self, adapted: PeftModel, params: Finetune):
        self.trained = {n: w for n, w in adapted.named_parameters() if w.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.trained.values(), lr=params.learning_rate, weight_decay=0.0, fused=True
        )
        self.done = 0
        self.first_loss = math.nan
        self.window: list[dict[str, float]] = []
        self.curve: list[CurvePoint] = []

    def learn(
        self, terms: Mapping[str, Tensor], weights: Mapping[str, float], params: Finetune
    ) -> float:
        """Make one step against the weighted sum of the terms, which is returned."""
        loss = torch.stack([weights[name] * terms[name] for name in terms if weights[name]]).sum()
        value = float(distributed.mean(loss.detach()))
        if self.done == 0:
            self.first_loss = abs(value)
        if not abs(value) <= max(1.0, self.first_loss) * params.diverged_above:
            raise InputError(
                f"the loss diverges: it is {value:.3g} at step {self.done + 1} and was "
                f"{self.first_loss:.3g} at the first; lower finetune.learning_rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()
        else:  # no text of this step has a response, and that is all that is learned
            for weight in self.trained.values():
                weight.grad = torch.zeros_like(weight)
        distributed.average_gradients(self.trained.values())
        norm = distributed.full_tensor(
            torch.nn.utils.clip_grad_norm_(self.trained.values(), params.clip_norm)
        )
        if not torch.isfinite(norm):
            raise InputError(
                f"the loss diverges: its gradient is {float(norm)} at step {self.done + 1}; lower "
                "finetune.learning_rate"
            )
        self.optimizer.step()
        self.done += 1
        values = {name: float(distributed.mean(term.detach())) for name, term in terms.items()}
        self.window.append({**values, "gradient_norm": float(norm)})
        return value

    def note(self, gap: float, kl: float) -> None:
        """Add a point to the learning curve."""
        means = {
            name: math.fsum(step[name] for step in self.window) / len(self.window)
            for name in self.window[0]
        }
        self.curve.append(CurvePoint(step=self.done, gap=gap, kl=kl, **means))
        self.window = []

    def keep(self, checkpoint: Checkpoint) -> None:
        tensors = {
            f"weight.{name}": distributed.full_tensor(weight)
            for name, weight in self.trained.items()
        }
        for name, weight in self.trained.items():
            for part, value in self.optimizer.state[weight].items():
                tensors[f"{part}.{name}"] = distributed.full_tensor(value)
        notes = {
            "done": self.done,
            "first_loss": self.first_loss,
            "window": self.window,
            "curve": [dataclasses.asdict(point) for point in self.curve],
        }
        checkpoint.save(tensors, notes)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from what this run kept, if it kept anything."""
        kept = checkpoint.load()
        if kept is None:
            return
        tensors, notes = kept
        self.done, self.first_loss = notes["done"], notes["first_loss"]
        self.window = notes["window"]
        if distributed.is_first():
            print(f"going on after step {self.done}, where it stopped", file=sys.stderr)
        self.curve = [CurvePoint(**point) for point in notes["curve"]]
        with torch.no_grad():
            for name, weight in self.trained.items():
                weight.copy_(distributed.laid_out_like(tensors[f"weight.{name}"], weight))
                state = {"step": tensors[f"step.{name}"].to(weight.device)}
                for part in ("exp_avg", "exp_avg_sq"):
                    state[part] = distributed.laid_out_like(tensors[f"{part}.{name}"], weight)
                self.optimizer.state[weight] = state


def write_curve(path: Path, curve: Sequence[CurvePoint]) -> None:
    """One line per point, for `dvc plots`; six significant digits."""
    names = [field.name for field in dataclasses.fields(CurvePoint)]
    with whole(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as lines:
        lines.write(",".join(names) + "\n")
        for point in curve:
            lines.write(",".join(f"{getattr(point, name):.6g}" for name in names) + "\n")
