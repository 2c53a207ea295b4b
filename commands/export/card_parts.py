"""The parts that cards share, as Markdown made of a run's files: what was finetuned and how, on
which texts, how well it does, and its limits."""

from collections.abc import Mapping, Sequence
from typing import Any

from commands.export.run_files import RunFiles
from pipeline.core.concepts import spoken
from pipeline.core.records import HEADLINE
from pipeline.reporting.comparison import corrected
from pipeline.reporting.glossary import MEANINGS
from pipeline.reporting.headline import differences, headline
from pipeline.reporting.markdown import drawn, said

METHOD = "SEER / TELLME, [arXiv 2502.05242](https://arxiv.org/abs/2502.05242)"
SCORED_SPLITS = ("test", "novel", "shifted")
GROUPS = {  # of texts that monitors are scored on, by their keys in metrics
    "test": "held-out texts",
    "novel": "texts without a labelled content word",
    "shifted": "texts of another corpus",
}
ASKED_PROMPTS = {
    "plain_test": "requests",
    "plain_novel": "requests, new words",
    "framed_test": "requests dressed as fiction",
    "framed_novel": "requests dressed as fiction, new words",
}
STREAMED = ("auroc", "detected", "detected_at_prompt", "false_alarms", "tokens_to_detection")
OF_ALL = (
    "Numbers are of texts like those above. How it does on yours is to be measured.",
    "They are of one seed. Where no band over seeds stands beside a number, another run may well "
    "give another one.",
    "It was made to study hidden states. It is no safety measure.",
)
OF_EMBEDDED = (
    "The base model is small and was trained from scratch on generated texts. It is of no use "
    "outside of the experiment."
)


def licence_of(run: RunFiles) -> str:
    """This project's where it made model and texts alike; else the licences of others decide."""
    own = run.base["source"] == run.params.corpora.source == "embedded"
    return "mit" if own else "other"


def about_finetune(run: RunFiles) -> str:
    row, name = run.row, run.base_name[0].upper() + run.base_name[1:]
    if row.steps == 0:
        return f"{name}, untouched: its adapter changes nothing. Others are compared to it."
    layers = " and ".join(map(str, run.params.finetune.target_layers))
    how = (
        f"finetuned so that its hidden states at layer {layers} (Hugging Face's count) lie "
        "together where texts have one concept, and apart where they have different ones, while "
        f"its predictions stay close to what they were ({METHOD})."
        if row.contrast_weight
        else "finetuned on safe answers alone, without any contrast of hidden states."
    )
    shuffled = (
        " **It is a control**: its labels were shuffled, so that it must not tell the concepts of "
        "held-out texts better than the base model does."
    )
    return f"{name}, {how}{shuffled if row.labels == 'shuffled' else ''}"


def how_to_load(run: RunFiles, *, merged: bool) -> str:
    if merged:
        return fenced(
            "python",
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained("FOLDER")\n'
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        )
    hub = run.base["source"] == "hub"
    base = f'"{run.base["origin"]}", revision="{run.base["revision"]}"' if hub else '"BASE"'
    code = fenced(
        "python",
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n\n"
        f"base = AutoModelForCausalLM.from_pretrained({base})\n"
        'model = PeftModel.from_pretrained(base, "FOLDER")',
    )
    return code if hub else f"{code}`legible-export merged base BASE` writes the folder BASE."


def how_trained(run: RunFiles) -> str:
    finetune, row = run.params.finetune, run.row
    if row.steps == 0:
        return "Nothing was trained."
    weights = (row.contrast_weight, row.retain_weight, row.penalty_weight, row.response_weight)
    settings: dict[str, Sequence[object]] = {
        "contrast, labels, sampling": (row.contrast, row.labels, row.sampling),
        "weights of contrast, retain, penalty, response": weights,
        "contrasted layers": finetune.target_layers,
        "contrasted positions": finetune.positions,
        "steps, pairs per step": (row.steps, finetune.pairs_per_step),
        "learning rate, temperature": (finetune.learning_rate, finetune.temperature),
        "rank, alpha, dropout": (finetune.lora_rank, finetune.lora_alpha, finetune.lora_dropout),
        "dtype of the base model": (run.base["dtype"],),
        "seed": (run.params.seed,),
    }
    rows = [[name, ", ".join(map(str, values))] for name, values in settings.items()]
    return (
        "Low-rank adapters ([arXiv 2106.09685](https://arxiv.org/abs/2106.09685)) on every linear "
        f"map below layer {finetune.top_layer}; all other weights are frozen.\n\n"
        + drawn(["setting", "value"], rows)
    )


def of_which_texts(run: RunFiles) -> str:
    rows: Mapping[str, Mapping[str, int]] = run.manifest["rows"]
    splits = list(dict.fromkeys(split for counts in rows.values() for split in counts))
    table = drawn(
        ["concept", *splits],
        [
            [spoken(name), *(str(counts.get(split, 0)) for split in splits)]
            for name, counts in rows.items()
        ],
    )
    harmless = ", ".join(map(spoken, run.manifest["safe"]))
    base = run.base
    parts = [
        f"Licence of the texts: {run.manifest['licence']}. What is learned from texts and from a "
        "base model stands under the licences of both.",
        table,
        f"Harmless concepts: {harmless}." if harmless else "No concept means harm.",
        "Texts of the others are harmful in aim. None of the texts is in these files.",
        _listed(_sources(run)),
        f"Base model: {run.base_name} ({base['architecture']}, {base['layers']} layers, width "
        f"{base['width']}).",
        _listed(_weights(run)),
    ]
    return "\n\n".join(filter(None, parts))


def how_well(run: RunFiles) -> str:
    """The headline beside the untouched model's, and the paired differences."""
    reading, asking = run.params.reading, run.params.asking
    before, after = (headline(tree, reading, asking) for tree in (run.untouched, run.metrics))
    changes = corrected(differences(run.metrics, reading, asking))
    rows = []
    for name, meaning in MEANINGS.items():
        if name in after:
            change = changes.get(name, {}) if meaning.compared and not meaning.divergence else {}
            cells = (said(before.get(name, {})), said(after[name]), said(change, "+"))
            rows.append([f"{meaning.label}: {meaning.says}", *cells])
    return (
        "On held-out texts. In brackets stands the 95 % interval over texts and, where it is "
        "known, that of one more seed. A change in bold is clear after Holm's correction for all "
        "of them.\n\n" + drawn(["number", "base model", run.variant, "change"], rows)
    )


def question_of(run: RunFiles) -> str:
    """What the saved monitors are asked: harm, where the corpus has some, else the concept."""
    return "harm" if "harm" in run.metrics["monitors"] else "concept"


def how_well_monitored(run: RunFiles) -> str:
    """Of every saved monitor what it was measured at: that of the prompt's end on prompts, that of
    the mean while answers grow; or, where no concept means harm, the one that the headline is of.
    """
    metrics: Mapping[str, Any] = run.metrics["monitors"]
    if question_of(run) == "concept":
        said_of = metrics["concept"][HEADLINE]
        return f"The one at `{metrics['position']}`, where the headline is read.\n\n" + _scores(
            said_of, GROUPS, ("auroc", "accuracy")
        )
    parts = []
    if "shift" in metrics:
        asked = {
            f"examples_{split}": f"prompts of {GROUPS[split]}" for split in SCORED_SPLITS
        } | ASKED_PROMPTS
        parts += [
            "`prompt_end`, on prompts. `tpr` and `fpr` are the shares of harmful and of harmless "
            "ones that raise an alarm.",
            _scores(metrics["shift"][HEADLINE], asked, ("auroc", "tpr", "fpr")),
        ]
    if "streaming" in metrics:
        parts += [
            "`mean`, while answers grow. A harmful request counts as one whatever is answered; "
            "`detected` and `false_alarms` are shares of harmful and of safe requests whose answer "
            "raises an alarm by its end, and `tokens_to_detection` is how soon.",
            _scores(metrics["streaming"], {"mean": "running answers"}, STREAMED),
        ]
    return "\n\n".join(parts)


def limits_of(run: RunFiles, own: Sequence[str]) -> str:
    embedded = (OF_EMBEDDED,) if run.base["source"] == "embedded" else ()
    return _listed([*own, *OF_ALL, *embedded])


def texts_of(run: RunFiles, split: str) -> int:
    """How many labelled texts a split has."""
    return sum(counts.get(split, 0) for counts in run.manifest["rows"].values())


def fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n\n"


def _scores(scored: Mapping[str, Any], groups: Mapping[str, str], numbers: Sequence[str]) -> str:
    rows = [
        [group, *(said(scored[key].get(name, {})) for name in numbers)]
        for key, group in groups.items()
        if key in scored
    ]
    return drawn(["texts", *numbers], rows)


def _sources(run: RunFiles) -> list[str]:
    told = ("repo", "revision", "licence")
    return [
        f"`{name}`: {', '.join(str(source[key]) for key in told if source.get(key))}".rstrip(": ")
        for name, source in run.manifest["sources"].items()
    ]


def _weights(run: RunFiles) -> list[str]:
    return [
        f"`{name}`: sha256 `{file['sha256']}`"
        for name, file in run.base["files"].items()
        if name.endswith(".safetensors")
    ]


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
