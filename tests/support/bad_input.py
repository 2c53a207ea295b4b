"""Mistakes in params and data, and the one line that each must get."""

from collections.abc import Callable
from typing import Any

Change = Callable[[Any], object]


def put(section: str, **values: object) -> Change:
    """Set knobs of a section, named by its path."""

    def change(tree: Any) -> None:
        for name in section.split("."):
            tree = tree[name]
        tree.update(values)

    return change


def without(section: str, key: str) -> Change:
    return lambda tree: tree[section].pop(key)


BAD_PARAMS: dict[str, tuple[Change, str]] = {
    "unknown key": (put("finetune", lerning_rate=1.0),
                    "finetune.lerning_rate: unknown key; did you mean 'learning_rate'?"),
    "unknown section": (lambda t: t.update(finetuning={}), "finetuning: unknown key; did you mean 'finetune'?"),
    "unknown key of a variant": (put("variants.base", step=3),
                                 "variants.base.step: unknown key; did you mean 'steps'?"),
    "missing knob": (without("finetune", "lora_rank"), "finetune.lora_rank: missing"),
    "word for a number": (put("finetune", learning_rate="fast"), "finetune.learning_rate: input should be a valid number, not 'fast'"),
    "number in quotes": (put("finetune", pairs_per_step="6"), "finetune.pairs_per_step: input should be a valid integer, not '6'"),
    "fraction of a step": (put("pretraining", steps=1.5), "pretraining.steps"),
    "yes for a number": (lambda t: t.update(seed=True), "seed: input should be a valid integer, not True"),
    "negative seed": (lambda t: t.update(seed=-1), "seed: input should be greater than or equal to 0, not -1"),
    "a seed twice": (lambda t: t.update(seeds=[0, 1, 2, 3, 3]), "seeds must name at least one, none twice"),
    "four seeds": (lambda t: t.update(seeds=[0, 1, 2, 3]), "seeds: tuple should have at least 5 items"),
    "no number": (put("finetune", temperature=float("nan")), "finetune.temperature"),
    "no temperature": (put("finetune", temperature=0.0), "finetune.temperature: input should be greater than 0"),
    "target layer beyond the model": (put("finetune", target_layers=[1, 3]),
                                      "finetune.target_layers is 3, beyond the model's last layer 2"),
    "read layer beyond the model": (put("extraction", layers=[0, 9]), "extraction.layers is 9, beyond"),
    "interpreted layer beyond the model": (put("selfie", layers=[1, 3]), "selfie.layers is 3, beyond the model's last layer 2"),
    "states moved as far twice": (put("selfie", moves=[50, 50]), "selfie.moves must name at least one, none twice"),
    "asked layer not extracted": (lambda t: (t["asking"].update(layer=2), t["extraction"].update(layers=[0, 1])),
                                  "asking.layer 2 is not among extraction.layers"),
    "asked position not extracted": (lambda t: (t["asking"].update(positions=["prompt_end"]), t["extraction"].update(positions=["last"])),
                                     "asking.positions: prompt_end is not among extraction.positions"),
    "interpreted layer twice": (put("selfie", layers=[1, 1]), "selfie.layers must name none twice"),
    "unknown judge": (put("selfie", judge="gpt"), "selfie.judge: input should be 'none' or 'base', not 'gpt'"),
    "texts too long to judge": (put("asking", answer="It is about {concept}." + " Indeed." * 6),
                                "a text's tokens + the question's and the answer's bytes"),
    "texts too long to ask about": (put("asking", question="What? " * 20 + "{message}"),
                                    "a text's tokens + the question's bytes + selfie.max_new_tokens"),
    "read layer not extracted": (put("extraction", layers=[0, 2]), "reading.layer 1 is not among extraction.layers"),
    "injection beyond the blocks": (put("asking", inject_layer=2), "asking.inject_layer is 2; the last block"),
    "unknown position": (put("finetune", positions=["first"]), "finetune.positions.0: input should be 'prompt_end', 'last' or 'mean'"),
    "no position": (put("finetune", positions=[]), "finetune.positions must name at least one"),
    "unknown loss": (put("variants.sft_contrast", contrast="triplet"),
                     "variants.sft_contrast.contrast: input should be 'none', 'infonce', 'nt_xent', 'supcon', 'true_negatives', 'fixed_direction', 'fixed_head', 'rerouting' or 'bending', not 'triplet'"),
    "zero steps with a contrast": (put("variants.sft_contrast", steps=0),
                                   "variants.sft_contrast: steps is 0 but a weight is not"),
    "a contrast without weight": (put("variants.sft_contrast", contrast_weight=0.0), "variants.sft_contrast: contrast is none exactly where"),
    "no base": (lambda t: t["variants"].pop("base"), "variants must hold `base`"),
    "too few pairs": (lambda t: t["pairs"].update(count=5), "takes 18 pairs, but pairs.count is 5; raise it"),
    "shares beyond one": (put("pairs", whole=0.9), "pairs: whole, prompt_only and response_only must sum to 1"),
    "unknown concepts": (put("corpora.embedded", concepts="weather"), "corpora.embedded.concepts: input should be 'safety' or 'topics', not 'weather'"),
    "one training text": (put("corpora.embedded", train=1), "corpora.embedded.train: input should be greater than or equal to 2"),
    "a figure of no variant": (put("figures", compared=["base", "nobody"]), "figures.compared names nobody"),
    "texts beyond the context": (put("text", prompt_tokens=999), "more than the model's context"),
    "further training of 4-bit weights": (lambda t: t["model"].update(dtype="nf4"), "further_training merges a variant into weights, which those of model.dtype nf4 are too coarse for"),
    "4-bit weights in parts": (lambda t: (t["model"].update(dtype="nf4"), t["runtime"].update(sharded=True)), "runtime.sharded keeps weights in parts, which those of model.dtype nf4 cannot be"),
    "heads that do not divide": (put("model.embedded", heads=3), "model.embedded: width 16 is not an even multiple of heads 3"),
    "a question without its message": (put("asking", question="What?"), "asking: question must hold {message} once"),
    "unknown key of an edit": (put("control.edits.supervised", layr=1), "control.edits.supervised.layr: unknown key; did you mean 'layer'?"),
    "an edit beyond the model": (put("control.edits.supervised", layer=2), "control.edits.supervised.layer is 2; MLPs are edited at layers 1 to 1"),
    "an edit of the embeddings": (put("control.edits.supervised", layer=0), "control.edits.supervised.layer: input should be greater than or equal to 1"),
    "an edit without a target": (put("control.edits.supervised", target="none"), "control.edits.supervised: a supervised edit needs a target"),
    "a target without a way": (put("control.edits.supervised", strength=0.0), "control.edits.supervised: a supervised edit needs a strength"),
    "a reward without a judge": (put("control.edits.reinforcement", reward="none"), "control.edits.reinforcement: a reinforcement edit needs a reward"),
    "a target of a response": (put("control.edits.response", target="apart"), "control.edits.response: a response edit has no target; set it to none"),
    "a strength of a reward": (put("control.edits.reinforcement", strength=1.0), "control.edits.reinforcement: a reinforcement edit has no strength; set it to 0"),
    "a reward for what is not read": (put("control.edits.reinforcement", position="prompt_end"), "control.edits.reinforcement is rewarded for interpretations, and asking reads layer 1 at last; edit there"),
    "an edit of no variant": (put("control", model="nobody"), "control.model is nobody, which is no variant; known: base"),
    "an edit called untouched": (lambda t: t["control"]["edits"].update(untouched=t["control"]["edits"]["supervised"]), "`untouched` is the model before any edit"),
    "nothing to compare": (put("figures", compared=[]), "figures.compared must name at least one"),
    "no penalty text": (put("finetune", penalty_texts=[]), "finetune.penalty_texts must name at least one"),
    "a seed beyond 32 bits": (lambda t: t.update(seed=2**70), "seed: input should be less than 4294967296"),
    "nothing but described texts": (put("pretraining", described_share=1.0), "pretraining.described_share: input should be less than or equal to 0.9"),
    "placeholders beyond the context": (put("asking", placeholders=5000), "more than the model's context"),
    "answers beyond the context": (put("generation", max_new_tokens=500), "more than the model's context"),
}  # fmt: skip


ROWS = "".join(f"ask {n},say {n},{'safe' if n % 2 else 'harm'}\n" for n in range(40))
HEAD = "prompt,response,concept\n"
BAD_DATA: dict[str, tuple[bytes | None, str]] = {
    "empty file": (b"", "texts.csv is empty; remove it or fill it"),
    "header alone": (HEAD.encode(), "texts.csv has a header but no row"),
    "no file": (None, "holds no .csv file"),
    "missing column": (b"prompt,answer,concept\na,b,c\n", "texts.csv has no column 'response' (it has prompt, answer, concept)"),
    "missing label": (b"prompt,response,kind\na,b,c\n", "texts.csv has no column 'concept'"),
    "undecodable bytes": ((HEAD + ROWS).encode() + b"caf\xe9,x,safe\n", "texts.csv is not UTF-8"),
    "a label of two lines": ((HEAD + ROWS + 'a,b,"harm\nless"\n').encode(), "row 41 is labelled 'harm\\nless'; a label is a name of one line"),
    "an empty label": ((HEAD + ROWS + "a,b,\n").encode(), "row 41 is labelled ''"),
    "an empty prompt": ((HEAD + ROWS + ",b,safe\n").encode(), "row 41 has no prompt"),
    "cells without a column": (b"prompt,response,concept\na,b,safe,d\ne,f,harm,h\n", "texts.csv has rows with more cells than the header"),
    "names said alike": ((HEAD + ROWS.replace("harm", "do_harm") + ROWS.replace("ask", "beg").replace("harm", "do-harm")).encode(), "concepts 'do-harm' and 'do_harm' are said alike; rename one"),
    "a short row": ((HEAD + ROWS + "a\n").encode(), "row 41 is labelled ''; give it a label"),
    "a long row": ((HEAD + ROWS + "a,b,safe,d,e\n").encode(), "texts.csv is not a regular CSV"),
    "nothing but safe texts": ((HEAD + ROWS.replace("harm", "safe")).encode(), "corpora.csv.safe names every label"),
    "a concept with one text": ((HEAD + ROWS + "alone,b,rare\n").encode(), "concept 'rare' has"),
    "a safe label that is not there": ((HEAD + ROWS.replace("safe", "fine")).encode(), "corpora.csv.safe names 'safe', which no row is labelled with"),
}  # fmt: skip
