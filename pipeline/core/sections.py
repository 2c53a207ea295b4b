"""Every section of params.yaml, typed: what each knob may say by itself. Computes nothing.

There are no defaults here: a knob has one home, params.yaml. What only several sections together
can tell is checked in pipeline/core/params.py. Longer than other modules, as it mirrors one file.
"""

from typing import Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Column = Annotated[str, Field(min_length=1)]  # of a table
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256, in hexadecimal
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Position = Literal["prompt_end", "last", "mean"]
TokenPosition = Literal["prompt_end", "last"]
Labelling = Literal["given", "shuffled", "length"]
Sampling = Literal["random", "balanced"]
InjectionMode = Literal["replace", "add", "norm_matched"]
DType = Literal["float32", "bfloat16", "nf4"]
CurveLog = Literal["none", "dvclive", "tensorboard", "wandb"]
GRADIENT_PASSES = 3  # that a pass forward and back costs: back takes two

_T = TypeVar("_T")
Listed = Annotated[tuple[_T, ...], Field(strict=False)]  # a YAML list, kept as a tuple


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Text(Section):
    prompt_tokens: Count
    response_tokens: Count


class EmbeddedCorpora(Section):
    concepts: Literal["safety", "topics"]
    train: Annotated[int, Field(ge=2)]
    validation: Count
    test: Count
    novel: Count
    shifted: Count
    everyday: Count
    described: Count
    documents: Count
    heldout: Count
    behaviour: Count
    ambiguity: Share


class Shares(Section):
    """Of labelled texts: what is left of both is trained on."""

    validation: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def leaves_training_texts(self) -> "Shares":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave no text to train on; lower one of them")
        return self


class CsvCorpora(Shares):
    folder: Annotated[str, Field(min_length=1)]
    texts: Annotated[Listed[Column], Field(min_length=1, max_length=2)]
    label: str | Annotated[Listed[Column], Field(min_length=1)]
    unlabelled: str
    names: dict[str, Annotated[str, Field(min_length=1)]]
    safe: Listed[str]


class HubCorpora(Shares):
    concepts: Name
    documents: Name
    requests: Listed[Name]
    shifted: Listed[Name]
    per_concept: NotNegative


class PromptSets(Section):
    folder: Annotated[str, Field(min_length=1)]
    sets: Listed[Name]
    most: NotNegative


class Corpora(Section):
    source: Literal["embedded", "csv", "hub"]
    prompts: PromptSets
    embedded: EmbeddedCorpora
    csv: CsvCorpora
    hub: HubCorpora


class EmbeddedModel(Section):
    vocabulary: Annotated[int, Field(ge=300)]
    width: Count
    feed_forward: Count
    layers: Count
    heads: Count
    context: Count

    @model_validator(mode="after")
    def heads_divide_width(self) -> "EmbeddedModel":
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not an even multiple of heads {self.heads}")
        return self


class HubModel(Section):
    repo: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class WheelPart(Section):
    """A file inside a wheel. Names start with a letter or digit, so that pip takes none for an
    option of its own."""

    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.!+-]*$")]
    sha256: Digest
    member: Annotated[str, Field(min_length=1)]

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


class PackageModel(Section):
    parts: Annotated[Listed[WheelPart], Field(min_length=1)]
    sha256: Digest


class PathModel(Section):
    location: Annotated[str, Field(min_length=1)]


class Model(Section):
    source: Literal["embedded", "hub", "package", "path"]
    dtype: DType
    embedded: EmbeddedModel
    hub: HubModel
    package: PackageModel
    path: PathModel


class Pretraining(Section):
    steps: NotNegative
    documents_per_step: Count
    learning_rate: Positive
    weight_decay: Weight
    warmup_steps: Count
    decay_share: Annotated[float, Field(gt=0, le=1)]
    described_share: Annotated[float, Field(ge=0, le=0.9)]
    interpretation_every: Count
    interpretation_after: NotNegative
    interpretation_weight: Weight


class Pairs(Section):
    count: Count
    whole: Share
    prompt_only: Share
    response_only: Share

    @model_validator(mode="after")
    def shares_sum_to_one(self) -> "Pairs":
        if abs(self.whole + self.prompt_only + self.response_only - 1) > 1e-9:
            raise ValueError("whole, prompt_only and response_only must sum to 1")
        return self


class Finetune(Section):
    target_layers: Annotated[Listed[Count], Field(min_length=1)]
    positions: Listed[Position]
    states: Literal["raw", "standardised"]
    temperature: Positive
    learning_rate: Positive
    pairs_per_step: Annotated[int, Field(ge=2)]
    retain_per_step: Count
    lora_rank: Count
    lora_alpha: Count
    lora_dropout: Annotated[float, Field(ge=0, lt=1)]
    clip_norm: Positive
    retain: Literal["relative", "l2"]
    penalty: Literal["kl", "weighted_nll"]
    penalty_texts: Listed[Literal["retain", "pairs", "interpretations"]]
    watched_texts: Annotated[int, Field(ge=2)]
    watch_every: Count
    diverged_above: Annotated[float, Field(gt=1, allow_inf_nan=False)]

    @property
    def top_layer(self) -> int:
        """The highest layer that is contrasted: nothing above it learns."""
        return max(self.target_layers)


class Variant(Section):
    steps: NotNegative
    contrast: Literal[
        "none",
        "infonce",
        "nt_xent",
        "supcon",
        "true_negatives",
        "fixed_direction",
        "fixed_head",
        "rerouting",
        "bending",
    ]
    sampling: Sampling
    labels: Labelling
    contrast_weight: Weight
    retain_weight: Weight
    penalty_weight: Weight
    response_weight: Weight

    @model_validator(mode="after")
    def says_what_it_trains(self) -> "Variant":
        weights = {name: value for name, value in self if name.endswith("_weight")}
        if self.steps == 0 and any(weights.values()):
            raise ValueError("steps is 0 but a weight is not; set every weight to 0 or give steps")
        if self.steps > 0 and not (self.contrast_weight or self.response_weight):
            raise ValueError("contrast_weight and response_weight are both 0: nothing to learn")
        if (self.contrast == "none") != (self.contrast_weight == 0):
            raise ValueError("contrast is none exactly where contrast_weight is 0")
        return self


class Extraction(Section):
    layers: Listed[NotNegative]
    positions: Listed[Position]
    tokens_per_batch: Count


class Reading(Section):
    layer: NotNegative
    position: Position
    neighbours: Count
    resamples: Annotated[int, Field(ge=10)]
    false_alarms: Annotated[Listed[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]


class Transport(Section):
    samples: Count
    draws: Annotated[int, Field(ge=2)]


class Generation(Section):
    engine: Literal["transformers", "vllm"]
    max_new_tokens: Count
    samples: Count
    temperature: Positive
    prompts_per_batch: Count
    tokens_per_batch: Count


class JudgeModel(Section):
    """A judge of the Hub at a revision, or in a folder, whose revision is empty."""

    format: Literal["wildguard", "md_judge", "llama_guard"]
    repo: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]


class Judging(Section):
    greedy: bool
    models: dict[Name, JudgeModel]
    prompts_per_batch: Count

    @model_validator(mode="after")
    def has_names_of_its_own(self) -> "Judging":
        for name in ("rule", "substrings", "fitted", "probe"):
            if name in self.models:
                raise ValueError(f"models: {name} is a judge already; rename yours")
        return self


class Capability(Section):
    questions: Count
    harness: Listed[Annotated[str, Field(min_length=1)]]
    harness_documents: NotNegative


class Streams(Section):
    texts: Count
    pooled_texts: Count


class FurtherTraining(Section):
    steps: NotNegative
    hiding_weight: Weight
    penalty_weight: Weight


# Those of which a gradient tells what to change of a text: all but k-NN.
AttackedMonitor = Literal[
    "logistic",
    "prototype",
    "mean_difference",
    "mahalanobis",
    "mlp",
    "multilayer",
    "neurons",
    "attention_pooled",
    "max_pooled",
    "softmax_pooled",
]


class Attacks(Section):
    texts: NotNegative
    monitors: Annotated[Listed[AttackedMonitor], Field(min_length=1)]
    suffix_tokens: Count
    passes: Count
    swaps: Count

    @model_validator(mode="after")
    def takes_a_step(self) -> "Attacks":
        if self.passes < self.swaps + GRADIENT_PASSES:
            raise ValueError(
                f"passes is {self.passes}, and a step takes {self.swaps + GRADIENT_PASSES}: swaps "
                f"and a gradient, which counts as {GRADIENT_PASSES}; raise passes or lower swaps"
            )
        return self


class Asking(Section):
    question: str
    answer: str
    layer: NotNegative
    positions: Listed[TokenPosition]
    inject_layer: NotNegative
    placeholders: Count
    mode: InjectionMode
    scale: Annotated[float, Field(allow_inf_nan=False)]

    @model_validator(mode="after")
    def names_its_slots(self) -> "Asking":
        if self.question.count("{message}") != 1 or self.answer.count("{concept}") != 1:
            raise ValueError("question must hold {message} once, and answer {concept} once")
        return self


class Selfie(Section):
    layers: Listed[NotNegative]
    texts_per_split: Annotated[int, Field(ge=2)]
    moved_texts: Count
    moves: Annotated[Listed[Count], Field(min_length=1)]
    affine_learning_rate: Positive
    max_new_tokens: Count
    texts_per_batch: Count
    judge: Literal["none", "base"]


EditMethodName = Literal["supervised", "reinforcement", "response"]
EditSetting = Literal["target", "strength", "reward"]
# What a row of each method gives, beside what all rows do; a setting that it lacks is none or 0.
EDIT_SETTINGS: dict[EditMethodName, tuple[EditSetting, ...]] = {
    "supervised": ("target", "strength"),
    "reinforcement": ("reward",),
    "response": (),
}


class EditRow(Section):
    method: EditMethodName
    layer: Count
    position: TokenPosition
    target: Literal["none", "apart", "random"]
    strength: Weight
    reward: Literal["none", "concept", "shuffled"]
    steps: Count
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    locality_weight: Weight
    instruction: str

    @model_validator(mode="after")
    def gives_its_methods_settings(self) -> "EditRow":
        for setting in get_args(EditSetting):
            given = getattr(self, setting) not in ("none", 0)
            if given and setting not in EDIT_SETTINGS[self.method]:
                unset = "0" if setting == "strength" else "none"
                raise ValueError(f"a {self.method} edit has no {setting}; set it to {unset}")
            if not given and setting in EDIT_SETTINGS[self.method]:
                raise ValueError(f"a {self.method} edit needs a {setting}; give one")
        return self


class Steering(Section):
    strengths: Annotated[Listed[Positive], Field(min_length=1)]
    halvings: NotNegative

    @model_validator(mode="after")
    def grows(self) -> "Steering":
        if list(self.strengths) != sorted(set(self.strengths)):
            raise ValueError("strengths must grow from one to the next")
        return self


class Control(Section):
    model: Name
    texts: Annotated[int, Field(ge=2)]
    texts_per_step: Count
    reference_texts: NotNegative
    requests: NotNegative
    probed_texts: Count
    steering: Steering
    edits: dict[Name, EditRow]


class Figures(Section):
    compared: Listed[Name]
    map_texts: Count
    redact: bool


class Runtime(Section):
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?|mps)$")]
    threads: Count
    processes: Count
    sharded: bool
    checkpointing: bool
    pairs_per_pass: NotNegative
    checkpoint_every: NotNegative
    log: CurveLog
