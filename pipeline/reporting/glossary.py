"""What each headline number says, in words, and which way is better."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Meaning:
    """`better` is the direction to wish for, where there is one. `divergence`: the base model's own
    is 0 and none is negative, so that every finetune's interval excludes 0; it is shown as a size,
    and never judged as a change from base. Nor is what is not
    `compared`: the same for every variant, or itself a difference."""

    group: str
    label: str
    says: str
    better: Literal["higher", "lower", "none"]
    divergence: bool = False
    compared: bool = True


INJECTED = {  # what answers for a state: itself, a control, or a baseline without an injection
    "state": "the state itself",
    "none": "nothing",
    "random": "random vector",
    "other": "another text's state",
    "mean": "mean state",
    "input_only": "the text in words",
    "logit_lens": "logit lens",
}
NOVEL = "The same on texts whose content words were never labelled."
OTHER_SENTENCES = "The same on texts in other sentences."
MEANINGS = {
    "best_probe": Meaning(
        "Concepts read",
        "best probe",
        "Share of test texts whose concept the best linear probe reads: of every layer and "
        "position, and of all layers together, the one that is best on validation texts. Its "
        "difference from base is from the untouched model's best probe.",
        "higher",
    ),
    "best_probe_novel": Meaning("Concepts read", "best probe, novel", NOVEL, "higher"),
    "best_probe_shifted": Meaning(
        "Concepts read", "best probe, shifted", OTHER_SENTENCES, "higher"
    ),
    "best_frozen_probe": Meaning(
        "Concepts read",
        "best frozen probe",
        "The best probe's share for the untouched model.",
        "none",
        compared=False,
    ),
    "best_frozen_probe_novel": Meaning(
        "Concepts read", "best frozen probe, novel", NOVEL, "none", compared=False
    ),
    "best_frozen_probe_shifted": Meaning(
        "Concepts read", "best frozen probe, shifted", OTHER_SENTENCES, "none", compared=False
    ),
    "above_best_frozen": Meaning(
        "Concepts read",
        "above best frozen",
        "The probe where the variant is read minus the best frozen probe, text by text.",
        "higher",
        compared=False,
    ),
    "above_best_frozen_novel": Meaning(
        "Concepts read", "above best frozen, novel", NOVEL, "higher", compared=False
    ),
    "above_best_frozen_shifted": Meaning(
        "Concepts read", "above best frozen, shifted", OTHER_SENTENCES, "higher", compared=False
    ),
    "probe_accuracy": Meaning(
        "Concepts read",
        "probe where read",
        "The same share for the linear probe at the layer and position of headline numbers.",
        "higher",
    ),
    "probe_accuracy_novel": Meaning("Concepts read", "probe where read, novel", NOVEL, "higher"),
    "probe_accuracy_shifted": Meaning(
        "Concepts read", "probe where read, shifted", OTHER_SENTENCES, "higher"
    ),
    "words_accuracy": Meaning(
        "Concepts read",
        "words alone",
        "The same share for TF-IDF and logistic regression on the words, without a model.",
        "none",
        compared=False,
    ),
    "words_accuracy_novel": Meaning(
        "Concepts read", "words alone, novel", NOVEL, "none", compared=False
    ),
    "words_accuracy_shifted": Meaning(
        "Concepts read", "words alone, shifted", OTHER_SENTENCES, "none", compared=False
    ),
    "centroid_accuracy": Meaning(
        "Separation",
        "nearest centroid",
        "Share of test texts whose hidden state is nearest to the mean of their own concept.",
        "higher",
    ),
    "centroid_accuracy_novel": Meaning("Separation", "nearest centroid, novel", NOVEL, "higher"),
    "knn_accuracy": Meaning(
        "Separation",
        "nearest neighbours",
        "Share of test texts whose nearest training texts vote for their concept.",
        "higher",
    ),
    "knn_accuracy_novel": Meaning("Separation", "nearest neighbours, novel", NOVEL, "higher"),
    "silhouette": Meaning(
        "Separation",
        "silhouette",
        "How much closer a text is to its own concept than to the next one, from -1 to 1.",
        "higher",
    ),
    "cosine_within": Meaning(
        "Separation",
        "cosine within",
        "Mean cosine of two texts of one concept, after centring.",
        "higher",
    ),
    "cosine_between": Meaning(
        "Separation",
        "cosine between",
        "Mean cosine of two texts of different concepts, after centring.",
        "lower",
    ),
    "coding_rate_gap": Meaning(
        "Separation",
        "coding rate gap",
        "Nats saved by coding each concept by itself.",
        "higher",
    ),
    "monitor_auroc": Meaning(
        "Monitor",
        "monitor's AUROC",
        "How well a logistic probe ranks harmful above safe texts; of topics, each above the rest.",
        "higher",
    ),
    "harmful_rate": Meaning(
        "Behaviour",
        "harmful answers",
        "Share of harmful requests that were answered.",
        "lower",
    ),
    "over_refusal_rate": Meaning(
        "Behaviour",
        "over-refusals",
        "Share of safe requests that were refused.",
        "lower",
    ),
    "refusal_gap": Meaning(
        "Behaviour",
        "tells harm from safe",
        "Share of harmful requests refused minus share of safe ones refused; 0 for a model that "
        "refuses all, or none.",
        "higher",
    ),
    "perplexity": Meaning(
        "Fidelity",
        "perplexity",
        "On held-out texts; should stay the base model's.",
        "lower",
    ),
    "kl_to_base": Meaning(
        "Fidelity",
        "KL to base",
        "Divergence from the base model's predictions, nats per token; 0 for that model itself.",
        "none",
        divergence=True,
    ),
    "kl_of_openings": Meaning(
        "Fidelity",
        "KL of first words",
        "The same where an answer begins, on requests, nats: a mean over all tokens hides it.",
        "lower",
        divergence=True,
    ),
    "selfie_accuracy": Meaning(
        "Self-interpretation",
        "names the concept",
        "Share of hidden states whose interpretation by the model itself names their concept.",
        "higher",
    ),
    "selfie_control_accuracy": Meaning(
        "Self-interpretation",
        "best control",
        "The same for the best control: nothing, a random vector, another text's state or the "
        "mean state in place of the state.",
        "none",
    ),
    "selfie_input_only_accuracy": Meaning(
        "Self-interpretation",
        "input only",
        "The same where the question shows the text itself in words, and no state is injected.",
        "none",
    ),
    "selfie_logit_lens_accuracy": Meaning(
        "Self-interpretation",
        "logit lens",
        "The same by the logit lens: the concept whose name begins likeliest by the model's own "
        "head over the state.",
        "none",
    ),
    "selfie_base_reader_accuracy": Meaning(
        "Self-interpretation",
        "base model reads it",
        "The same where the base model reads the state: what a finetune did to the states, its "
        "reader left aside.",
        "higher",
    ),
    "selfie_reader_only_accuracy": Meaning(
        "Self-interpretation",
        "reader training alone",
        "The same by a reader of the base model's states that was taught the labels in as many "
        "steps; no state was moved.",
        "none",
        compared=False,
    ),
    "selfie_affine_accuracy": Meaning(
        "Self-interpretation",
        "through a scale and a bias",
        "The same where the state goes through one scale and one bias vector that the labels "
        "trained, and no weight of the model moved.",
        "higher",
    ),
    "selfie_calibration_error": Meaning(
        "Self-interpretation",
        "calibration error",
        "Mean gap between how likely the model finds what it says of states, token by token, and "
        "how often that names their concept.",
        "lower",
    ),
    "selfie_accuracy_of_surest_half": Meaning(
        "Self-interpretation",
        "accuracy of the surest half",
        "Share that names the concept, of the half of the states of whose interpretation the "
        "model is surest.",
        "higher",
    ),
}
