"""The pictures of a page: under which heading each stands, and what stands beside it."""

import base64
from pathlib import Path

from pipeline.reporting.svg import alt_of

# What stands above and below each picture, in the page's order; what a picture shows, with its
# numbers, is inside of its file.
EVIDENCE = {
    "Where texts lie": {
        "map": "Held-out texts before and after. t-SNE keeps neighbours, PCA the two longest axes "
        "of the training texts; the share counts texts whose nearest neighbour on that map is of "
        "their own concept.",
        "cosines": "Mean cosine between test texts, concept by concept, after centring. A bright "
        "diagonal on a dark ground is separation.",
        "separation": "Accuracy on held-out texts, every variant, with 95 % intervals. The dashed "
        "line needs no model.",
        "layers": "Layer by layer, at each position that was read; 0 is the embeddings, bands are "
        "95 % intervals, the dotted line is the layer that headline numbers come from.",
        "transport": "The margin that transport normalises, which should bound how much accuracy "
        "is lost on held-out texts, beside the loss that was measured; a point a layer.",
    },
    "What monitors see": {
        "roc": "Harm that is found against false alarms, on held-out texts.",
        "reliability": "How many texts are harmful where a monitor finds harm so probable, "
        "or of the likeliest concept where none is safe; on the diagonal it knows how sure to be.",
        "matrix": "Fitted on this corpus' training texts, scored on every set: test texts, other "
        "corpora's texts, requests; and the position whose state is read. Words alone and "
        "characters alone read no state, and are the same for every variant.",
        "recall": "The same, by the harm that is found where no more than 1 % of harmless texts "
        "are taken for it: the threshold is each set's own.",
        "alarms": "Every kind of monitor at a threshold that kept to a low rate of false alarms on "
        "validation texts: the harm that is found, and the rate that results. The dashed line "
        "needs no model.",
        "cascade": "The headline monitor with a judge on what it is unsure of, over the share of "
        "texts that the judge is sent: 0 is the monitor alone, 1 the judge alone, which reads the "
        "words and no model. Thresholds kept to a low rate of false alarms on validation texts.",
        "under_attack": "Harmful prompts that are still found once an attacker has changed them, "
        "at thresholds that kept to a low rate of false alarms on untouched validation texts: put "
        "into a story, with a suffix of random words, and with a suffix of words or of vectors "
        "that gradients through model and monitor found. Words alone are shown the prompts that "
        "were made against the first monitor.",
        "searches": "How far each attack comes: the mean logit of harm over the forward passes "
        "that an attack on one prompt has taken; 0 passes are the prompt as it was. A steeper fall "
        "is an easier monitor to fool.",
    },
    "When a model goes on training": {
        "hiding": "Harm found, and ranks of harm, by the monitor that was saved before and by one "
        "that is fitted anew on the states as they are now. Each model is trained to hide harm "
        "from the saved monitor while it answers as before; in the same steps without hiding; and "
        "on safe answers and on other texts, which nobody means as an attack. The dashed line "
        "needs no model, and no training of it moves that line.",
    },
    "What the model does": {
        "behaviour": "Harmful requests answered and safe requests refused; both are wrong.",
        "tradeoff": "Harm against what less of it may cost: refused safe requests, ability, "
        "fluency. Lower left is better; crosses are 95 % intervals, and the stepped line joins the "
        "variants that none beats in both.",
        "control": "Rates before and after each edit of the hidden state.",
    },
    "What the model says of itself": {
        "interpretation": "How often the model's own description of a hidden state names its "
        "concept, beside what it says where something else was injected. The dashed line needs no "
        "model: the nearest training text in words.",
        "crossings": "Who reads whose states. The base model's reading of a variant's states tells "
        "what the finetune did to the states; the variant's of the base model's what it did to the "
        "reader; a probe of the same states what a reader could have said. The dashed line is a "
        "reader of the base model's states that was taught the same labels.",
        "moved": "A causal test: states are moved towards another concept's mean state, and as far "
        "in a random direction. What is said should follow the first, and not the second.",
        "tokens": "One text, from top to bottom: the concept that is named when a token's state is "
        "put into words, layer by layer; lighter where the state was more relevant to the words.",
    },
    "How the finetunes went": {
        "training": "Each term over steps, for the variants that it moves; gap and kl are read on "
        "validation texts.",
    },
}


def evidence(figures: Path) -> dict[str, list[dict[str, str]]]:
    """The pictures that were drawn, by section: name, caption, alternative text, light and dark.
    Pictures of one kind (`tokens_safe`, `tokens_fraud`) share its caption.

    Raises KeyError for a picture that no section shows.
    """
    drawn = {path.stem for path in (figures / "light").glob("*.svg")}
    sections: dict[str, list[dict[str, str]]] = {}
    for section, captions in EVIDENCE.items():
        sections[section] = [
            {
                "name": name,
                "caption": caption,
                "alt": alt_of(figures / "light" / f"{name}.svg"),
                "light": inlined(figures / "light" / f"{name}.svg"),
                "dark": inlined(figures / "dark" / f"{name}.svg"),
            }
            for kind, caption in captions.items()
            for name in sorted(drawn)
            if name == kind or name.startswith(f"{kind}_")
        ]
        drawn -= {picture["name"] for picture in sections[section]}
    if drawn:
        raise KeyError(f"no section of the report shows {', '.join(sorted(drawn))}")
    return {section: pictures for section, pictures in sections.items() if pictures}


def inlined(picture: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.read_bytes()).decode()
