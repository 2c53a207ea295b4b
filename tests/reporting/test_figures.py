"""Pictures: what they compute is right, they are legible without colour, and equal runs are equal
bytes; a run with less to show has fewer or emptier pictures, and none that fails.

Longer than other files, as every picture has an entry here.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from pipeline.core.records import CROSSINGS, REFERENCES, Score, TokenInterpretation
from pipeline.core.representations import Representations
from pipeline.reporting import (
    bars,
    curves,
    figures,
    heat_maps,
    interpretation_figures,
    maps,
    monitor_figures,
)
from pipeline.reporting.fitting import fit_titles
from pipeline.reporting.glossary import INJECTED
from pipeline.reporting.headline import Headline, curves_over_layers, write_curves
from pipeline.reporting.picture_files import write_figures
from pipeline.reporting.redaction import Redaction
from pipeline.reporting.style import (
    DARK,
    HATCHES,
    LEGIBLE,
    LIGHT,
    LONGEST_DRAWN,
    Theme,
    contrast_ratio,
    hues,
    looks,
    luminance,
    recoloured,
    style,
)
from pipeline.reporting.svg import Picture, alt_of, write_picture
from tests.support import matrix
from tests.support.further import RATE, further, measures

STYLES = looks(["base", "tuned"])
ESTIMATE = {"value": 0.5, "low": 0.4, "high": 0.6}


def clouds(gap: float, splits: tuple[str, ...] = ("train", "test", "novel")) -> Representations:
    """Three concepts `gap` apart at two layers and one position."""
    rng = np.random.default_rng(0)
    concepts = [concept for _ in splits for concept in ("a", "b_c", "d") for _ in range(6)]
    means = gap * np.eye(3, 5)[[("a", "b_c", "d").index(concept) for concept in concepts]]
    values = (means + rng.normal(size=(2, 1, len(concepts), 5))).astype(np.float32)
    return Representations(
        values, (0, 1), ("last",), tuple(map(str, range(len(concepts)))), tuple(concepts),
        tuple(split for split in splits for _ in range(18)),
    )  # fmt: skip


def separation(layers: tuple[int, ...] = (0, 1), novel: bool = True) -> dict[str, object]:
    numbers = dict.fromkeys(("centroid_accuracy", "knn_accuracy", "silhouette"), ESTIMATE)
    splits = {"test": numbers} | ({"novel": numbers} if novel else {})
    measured = {"cosine": ESTIMATE}
    pairs = {"a": {"a": measured, "b": measured}, "b": {"b": measured}, "c": {"c": {}}}
    return {f"layer_{layer}": {"last": splits} for layer in layers} | {"pairs": {"test": pairs}}


def row(*without: str) -> Headline:
    numbers = ("harmful_rate", "over_refusal_rate", "perplexity")
    return {name: dict(ESTIMATE) for name in numbers if name not in without}


CAPABILITY = {"continuation": {"accuracy": {"value": 0.75, "low": 0.5, "high": 0.875}}}
RATES = dict.fromkeys(("tpr_for_5_percent", "fpr_for_5_percent"), ESTIMATE)
WORDS = {
    "concept": {"whole": {s: {"accuracy": ESTIMATE} for s in ("test", "novel")}},
    "harm": {"whole": dict.fromkeys(("test", "novel"), RATES)},
}
SELFIE = {
    "layer_1": {"test": {"last": dict.fromkeys(INJECTED, ESTIMATE)}},
    "crossed": {"test": {"last": dict.fromkeys((*CROSSINGS, *REFERENCES), ESTIMATE)}},
}
MOVED = {
    direction: {f"by_{size}": {"target": ESTIMATE | {"value": size / 200}} for size in (0, 50, 200)}
    for direction in ("concept", "random")
}
STEPS = pd.DataFrame({"step": [1, 2], "contrast": [3.0, 2.5], "kl": [0.0, 0.0]})
TOKENS = [
    TokenInterpretation(
        "x-1", "b_c", layer, token, f"t{token}$", ("About a.", "It is b c.", "a or b c")[token % 3],
        ("About", "x"), (0.1 * (layer - token), -0.2),
    )
    for layer in range(3) for token in range(4)
]  # fmt: skip
CHANGE = {"before": ESTIMATE, "after": ESTIMATE, "change": ESTIMATE}
CONTROL = {
    edit: {
        split: {m: CHANGE for s, m in figures.EDITED if s == split} for split, _ in figures.EDITED
    }
    for edit in ("supervised", "random")
}


def scores(question: str, truths: tuple[str, ...]) -> list[Score]:
    """Found, missed, a false alarm, passed; others' scores do not count."""
    classes = sorted(set(truths))
    made = []
    for number, (truth, first) in enumerate(zip(truths, (0.9, 0.4, 0.5, 0.1), strict=False)):
        shares = (first, *[(1 - first) / (len(classes) - 1)] * (len(classes) - 1))
        label = classes[int(np.argmax(shares))]
        for monitor in ("logistic", "knn"):
            made.append(
                Score(question, monitor, "last", "test", f"t{number}", truth, label, shares)
            )
    return made


HARM = scores("harm", ("harmful", "harmful", "safe", "safe"))
ALARMS = {
    "harm": {
        kind: {"test": RATES, "novel": RATES, "threshold": 0.5} for kind in ("knn", "max_pooled")
    },
    "cascade": {
        "test": {f"{share}_percent_sent": {**RATES, "sent_for_5_percent": {"value": share / 100}}
                 for share in (0, 10, 100)}
    },
}  # fmt: skip
KINDS = ("logistic", "mean_difference", "mlp", "attention_pooled", "softmax_pooled", "words")
LEFT = {
    kind: {attack: {"tpr_for_1_percent": ESTIMATE} for attack in ("unattacked", "token_suffix")}
    for kind in KINDS
} | {"difference": {"logistic": {}}}
SEARCHED = pd.DataFrame(
    [(passes, variant, 2.0 - passes, 1.0 - passes, 3.0 - passes)
     for variant in ("base", "tuned") for passes in (0, 16)],
    columns=["passes", "variant", "value", "low", "high"],
)  # fmt: skip
TRANSPORT = {
    f"layer_{layer}": {
        "kv_margin": {"value": 0.1 * layer}, "gap_test": {"value": 0.1 * layer},
        "gap_novel": {"value": -0.2 * layer},
    }
    for layer in range(3)
} | {"layer_9": {"gap_test": {"value": 0.1}}}  # fmt: skip
SCORES = pd.DataFrame(
    {"variant": ["base"] * 4 + ["tuned"] * 4, "truth": [True, True, False, False] * 2,
     "score": [0.9, 0.4, 0.5, 0.1, 0.9, 0.8, 0.2, 0.1],
     "probability": [0.9, 0.4, 0.5, 1.0, 0.9, 0.8, 0.2, 0.0],
     "so": [True, False, True, False] * 2}
)  # fmt: skip
WORDED = ("probability of rain", "share of wet days")
ONE_CONCEPT = pd.DataFrame({"variant": ["base"], "first": ["a"], "second": ["a"], "cosine": [0.5]})


def both(make: Callable[[], object]) -> dict[str, object]:
    return {name: make() for name in STYLES}


EVERY: dict[str, Callable[[], dict[str, Picture]]] = {
    "representations": lambda: figures.of_representations(
        {"base": clouds(1), "tuned": clouds(9)}, 1, "last", 4, 0
    ),
    "separation": lambda: figures.of_separation(
        both(separation), WORDS, ("base", "tuned"), 1, "last"
    ),
    "behaviour": lambda: figures.of_behaviour(both(row), both(lambda: CAPABILITY)),
    "interpretations": lambda: interpretation_figures.of_interpretations(
        both(lambda: SELFIE), 1, "last"
    ),
    "crossings": lambda: interpretation_figures.of_crossings(both(lambda: SELFIE), 1, "last"),
    "moved": lambda: interpretation_figures.of_moved(
        both(lambda: {"moved": {"last": MOVED}}) | {"uncompared": SELFIE}, "last"
    ),
    "training": lambda: figures.of_training({"base": STEPS[:0], "tuned": STEPS}),
    "monitors": lambda: monitor_figures.of_monitors(both(lambda: HARM), list(STYLES), "last"),
    "matrix": lambda: monitor_figures.of_matrix(
        {"base": matrix.monitors(0.5), "tuned": matrix.monitors(0.875, base=0.5)},
        matrix.words(),
        ("base", "tuned"),
        "last",
    ),
    "alarms": lambda: monitor_figures.of_alarms(
        both(lambda: ALARMS), WORDS, ("base", "tuned"), "last", "5_percent"
    ),
    "cascade": lambda: monitor_figures.of_cascade(
        both(lambda: ALARMS), ("base", "tuned"), "5_percent"
    ),
    "hiding": lambda: monitor_figures.of_hiding(
        {"base": further(0.25), "tuned": further(0.5, 0.25)},
        {"harm": {"whole": measures(0.75)}},
        "last",
        RATE,
    ),
    "attacks": lambda: monitor_figures.of_attacks(
        both(lambda: LEFT), {f"token_suffix_{kind}": SEARCHED for kind in KINDS}, "1_percent"
    ),
    "tokens": lambda: interpretation_figures.of_tokens(
        both(lambda: TOKENS), ["a", "b_c"], Redaction()
    ),
    "control": lambda: figures.of_control(CONTROL),
    "transport": lambda: figures.of_transport(both(lambda: TRANSPORT)),
}
LESS: dict[str, Callable[[], dict[str, Picture]]] = {
    "one variant": lambda: figures.of_representations({"base": clouds(1)}, 1, "last", 4, 0),
    "no novel texts": lambda: figures.of_representations(
        {"base": clouds(1, ("train", "test"))}, 1, "last", 40, 0
    ),
    "identical vectors": lambda: figures.of_representations(
        {"base": same_vectors()}, 0, "last", 40, 0
    ),
    "one layer, one split": lambda: figures.of_separation(
        {"base": separation((1,), novel=False)}, WORDS, ("base",), 1, "last"
    ),
    "twelve variants": lambda: interpretation_figures.of_interpretations(
        {f"variant_{number}": SELFIE for number in range(12)}, 1, "last"
    ),
    "harmful requests only": lambda: figures.of_behaviour({"base": row("over_refusal_rate")}, {}),
    "one variant's trade-off": lambda: figures.of_behaviour({"base": row()}, {}),
    "a single kind of text": lambda: {
        "roc": curves.roc_curves(SCORES[SCORES["truth"]], STYLES),
        "reliability": curves.reliability_curves(SCORES[:1], STYLES, *WORDED),
    },
    "no safe concept": lambda: monitor_figures.of_monitors(
        {"base": scores("concept", ("a", "b", "c", "a"))}, ["base"], "last"
    ),
    "no harm is asked": lambda: monitor_figures.of_matrix(
        {"base": matrix.monitors(0.5, question="concept")}, matrix.words("concept"), ("base",),
        "last",
    ),
    "no novel texts and one kind": lambda: monitor_figures.of_alarms(
        {"base": {"harm": {"knn": {"test": RATES}}}}, WORDS, ("base",), "last", "5_percent"
    ),
    "one token": lambda: interpretation_figures.of_tokens(
        {"base": TOKENS[:1]}, ["a", "b_c"], Redaction()
    ),
    "one layer of transport": lambda: figures.of_transport(
        {"base": {"layer_1": TRANSPORT["layer_1"]}}
    ),
    "an edit without requests": lambda: figures.of_control(
        {"reinforcement": {"heldout": {"specificity": CHANGE}}}
    ),
    "one concept": lambda: {"cosines": heat_maps.cosine_tables(ONE_CONCEPT)},
}  # fmt: skip


def same_vectors() -> Representations:
    stored = clouds(0)
    return Representations(
        np.ones_like(stored.values), stored.layers, stored.positions, stored.ids, stored.concepts,
        stored.splits,
    )  # fmt: skip


def drawn(folder: Path, make: Callable[[], dict[str, Picture]]) -> dict[str, bytes]:
    """The files of some pictures, in which no word is cut."""
    with style():
        pictures = make()
        write_figures(folder, pictures)
        for name, picture in pictures.items():
            check_nothing_is_cut(name, picture.figure)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.svg"))}


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_the_same_numbers_give_the_same_bytes_light_and_dark(
    tmp_path: Path, make: Callable[[], dict[str, Picture]]
) -> None:
    first = drawn(tmp_path / "one", make)
    assert first
    assert drawn(tmp_path / "two", make) == first
    for name, svg in first.items():
        text = svg.decode()
        assert not re.search(
            r"Matplotlib v|<dc:date>|(href|src)=\"(?!#|data:image/png;base64,)", text
        ), name
        assert len(re.findall(r"\d", alt_of(tmp_path / "one" / name))) >= 2, "no number in words"
        shown = re.sub(r'base64,[^"]*', "", text).replace("unbeaten", "")
        assert "nan" not in shown.lower(), name


@pytest.mark.parametrize("make", LESS.values(), ids=LESS)
def test_a_run_with_less_to_show(tmp_path: Path, make: Callable[[], dict[str, Picture]]) -> None:
    assert drawn(tmp_path, make)
    for path in tmp_path.rglob("*.svg"):
        assert not re.search(r"\bnan\b", path.read_text(encoding="utf-8")), path


LONG = "a_variant_with_a_very_long_name_that_somebody_gave_it"
NAMED_AT_LENGTH: dict[str, Callable[[], dict[str, Picture]]] = {
    "maps of long names": lambda: figures.of_representations(
        {"base": clouds(1), LONG: clouds(9)}, 1, "last", 4, 0
    ),
    "bars of long names": lambda: figures.of_behaviour(
        {f"{LONG}_{number}": row() for number in range(9)}, {}
    ),
    "curves of long names": lambda: figures.of_separation(
        {f"{LONG}_{number}": separation() for number in range(5)}, WORDS,
        tuple(f"{LONG}_{number}" for number in range(5)), 1, "last",
    ),
    "tokens of long names": lambda: interpretation_figures.of_tokens(
        {"base": TOKENS, LONG: TOKENS}, ["a", "b_c"], Redaction()
    ),
    "training of long names": lambda: figures.of_training(
        {f"{LONG}_{number}": STEPS for number in range(9)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", NAMED_AT_LENGTH.values(), ids=NAMED_AT_LENGTH)
def test_no_word_is_cut_however_long_the_names(
    tmp_path: Path, make: Callable[[], dict[str, Picture]]
) -> None:
    assert drawn(tmp_path, make)


def check_nothing_is_cut(name: str, figure: Figure) -> None:
    """All of a picture lies on its canvas, within a pixel, and no title runs into another."""
    whole, canvas, slack = figure.get_tightbbox(), figure.bbox_inches, 1 / figure.dpi
    assert whole.x0 >= canvas.x0 - slack, f"{name} is cut on the left"
    assert whole.x1 <= canvas.x1 + slack, f"{name} is cut on the right"
    assert whole.y0 >= canvas.y0 - slack, f"{name} is cut below"
    assert whole.y1 <= canvas.y1 + slack, f"{name} is cut above"
    titles = [
        title.get_window_extent()
        for axis in figure.axes
        for title in (axis.title, axis._left_title, axis._right_title)
        if title.get_text()
    ]
    for number, one in enumerate(titles):
        assert not any(one.overlaps(other) for other in titles[number + 1 :]), name


def test_a_title_that_is_too_wide_is_found() -> None:
    """And `check_nothing_is_cut` can fail."""
    with style():
        figure = Figure((5, 4), layout="constrained")
        figure.subplots().set_title("as wide as a title of a map was: " * 3)
        figure.draw_without_rendering()
        with pytest.raises(AssertionError, match="is cut on the right"):
            check_nothing_is_cut("a map", figure)
        fit_titles(figure)
        figure.draw_without_rendering()
        check_nothing_is_cut("a map", figure)


def test_ability_is_traded_as_the_share_of_wrong_options() -> None:
    """So that less is better, as of every harm; its interval turns over with it."""
    rows, able = both(row), both(lambda: CAPABILITY)
    drawn = figures.of_behaviour(rows, able)["tradeoff"]
    assert "chooses a wrong option of a question 0.25" in drawn.alt
    across = [line for axis in drawn.figure.axes for line in axis.get_ylabel().split("\n")]
    assert across == ["refuses a safe one", "chooses a wrong option of a question", "perplexity"]
    asked = {"base": {"options": {"accuracy": {"value": 1.0, "low": 0.5, "high": 1.0}}}}
    only = figures.of_behaviour({"base": row()}, {"base": CAPABILITY | asked["base"]})["tradeoff"]
    assert "chooses a wrong option of a question 0.00" in only.alt, "questions before continuations"
    assert "wrong option" not in figures.of_behaviour(rows, {})["tradeoff"].alt


def test_what_a_corpus_cannot_have_is_not_drawn() -> None:
    assert figures.of_behaviour({"base": {}}, {}) == {}
    topics: dict[str, object] = {"concept": {}}
    assert monitor_figures.of_alarms({"base": topics}, topics, ("base",), "last", "5_percent") == {}
    assert monitor_figures.of_cascade({"base": topics}, ("base",), "5_percent") == {}
    assert monitor_figures.of_attacks({"base": {}}, {}, "1_percent") == {}
    assert monitor_figures.of_hiding({}, topics, "last", "1_percent") == {}
    assert set(figures.of_behaviour({"base": row("harmful_rate")}, {})) == {"behaviour"}
    assert figures.of_training({"base": STEPS[:0]}) == {}
    assert interpretation_figures.of_moved({"base": SELFIE}, "last") == {}, "a single concept"


def test_words_beside_a_prompts_end_are_the_prompts() -> None:
    """A monitor there has not seen the answer."""
    both_parts = {"harm": {"whole": "of whole texts", "prompt": "of prompts"}}
    words = {at: figures.words_alone(both_parts, "harm", at) for at in ("last", "mean")}
    assert set(words.values()) == {"of whole texts"}
    assert figures.words_alone(both_parts, "harm", "prompt_end") == "of prompts"
    assert figures.words_alone(both_parts, "concept", "prompt_end") == {}


def test_a_model_without_its_adapter_has_no_refitted_monitor() -> None:
    """What stands in its place is the saved one's alone; before, both are the same."""
    tree = further(0.25)
    tree["without_adapter"] = {"frozen": measures(0.5)}
    picture = monitor_figures.of_hiding(
        {"base": tree}, {"harm": {"whole": measures(0.75)}}, "last", RATE
    )
    bars = picture["hiding"].figure.axes
    shown = [sum(bar.get_height() > 0 for bar in axes.patches) for axes in bars]
    assert shown == [3, 2, 3, 2], "before, trained to hide, and without its adapter"


# Legible without colour


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_ink_stands_out_from_its_paper(theme: Theme) -> None:
    assert min(contrast_ratio(hue, theme.paper) for hue in hues(theme)) >= LEGIBLE
    assert contrast_ratio(theme.ink, theme.paper) >= 7
    assert contrast_ratio(theme.quiet, theme.paper) >= 4.5, "labels are text"


def test_contrast_is_wcags() -> None:
    assert contrast_ratio("#000000", "#ffffff") == pytest.approx(21)
    assert contrast_ratio("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert luminance("#ff0000") == pytest.approx(0.2126)


def test_series_differ_in_black_and_white() -> None:
    many = list(looks(list(map(str, range(45)))).values())
    assert len({(look.marker, look.dash) for look in many}) == 45
    assert len({look.hatch for look in many[: len(HATCHES)]}) == len(HATCHES)
    first, second = many[:2]
    assert first.marker != second.marker
    assert first.dash != second.dash
    assert first.hatch != second.hatch


def test_lines_and_bars_of_a_picture_differ_by_more_than_colour() -> None:
    pictures = EVERY["separation"]()
    lines = pictures["layers"].figure.axes[0].get_lines()
    looks_of_lines = {(line.get_marker(), line.get_linestyle(), str(line._dash_pattern))
            for line in lines if line.get_marker() != "None"}  # fmt: skip
    assert len(looks_of_lines) == 2
    hatches = [patch.get_hatch() for patch in pictures["separation"].figure.axes[0].patches]
    assert len(set(hatches)) == 2


def test_heat_maps_grow_lighter_with_their_number() -> None:
    picture = EVERY["separation"]()["cosines"]
    colours = picture.figure.axes[0].collections[0].get_cmap()(np.linspace(0, 1, 50))
    grey = [luminance(to_hex(colour)) for colour in colours]
    assert (np.diff(grey) > 0).all()


def test_monitors_stand_in_rows_and_sets_in_columns_with_long_names_cut() -> None:
    axis = EVERY["matrix"]()["matrix"].figure.axes[-1]
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "knn", "logistic", "words alone", "characters alone",
    ]  # fmt: skip
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert len(set(names)) == 3 + 4 + 2
    assert max(map(len, names)) <= LONGEST_DRAWN + 2
    assert {text.get_text() for text in axis.texts} == {"0.88", "0.75", "0.62"}
    recall = EVERY["matrix"]()["recall"]
    at_few_alarms = {text.get_text() for text in recall.figure.axes[-1].texts}
    assert at_few_alarms == {"0.44", "0.38", "0.31"}, "half of it, by the made metrics"
    assert "recall at 1 % false alarms" in recall.alt
    assert set(LESS["no harm is asked"]()) == {"matrix"}


def test_the_dark_is_the_light_in_other_inks(tmp_path: Path) -> None:
    svgs = drawn(tmp_path, EVERY["separation"])
    for name in ("layers", "separation"):
        light, dark = (svgs[f"{theme}/{name}.svg"].decode() for theme in ("light", "dark"))
        assert re.sub("#[0-9a-f]{6}", "", light) == re.sub("#[0-9a-f]{6}", "", dark)
        assert recoloured(light) == dark
        for ink in (LIGHT.ink, LIGHT.quiet, LIGHT.rule, LIGHT.paper):
            assert ink not in dark
        assert DARK.ink in dark
    every = {*hues(LIGHT), LIGHT.paper, LIGHT.ink, LIGHT.quiet, LIGHT.rule}
    assert len(every) == 12, "no ink stands for two"


# What is computed


@pytest.mark.parametrize("shape", [(40, 6), (3, 8), (9, 2)])
def test_main_axes_are_those_of_pca(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).normal(size=shape)
    flat = PCA(2, svd_solver="full").fit(vectors)
    np.testing.assert_allclose(maps.main_axes(vectors), flat.components_.T, atol=1e-9)


def test_main_axes_of_one_point_are_finite() -> None:
    assert np.isfinite(maps.main_axes(np.ones((5, 4)))).all()


def test_maps_keep_apart_what_is_apart_and_part_no_noise() -> None:
    far = maps.spots_of({"far": clouds(20)}, 1, "last", 40, 0)
    near = maps.spots_of({"near": clouds(0)}, 1, "last", 40, 0)
    for method in ("t-SNE", "PCA"):
        assert maps.agreement(far[far["method"] == method]) == 1
        assert maps.agreement(near[near["method"] == method]) < 0.7
    assert set(far["concept"]) == {"a", "b c", "d"}
    assert len(maps.spots_of({"few": clouds(1)}, 1, "last", 3, 0)) == 2 * 2 * 3


def test_agreement_worked_example() -> None:
    spots = pd.DataFrame({"x": [0, 1, 5, 6], "y": [0.0] * 4, "concept": ["a", "a", "b", "c"]})
    assert maps.agreement(spots) == 0.5


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9))
def test_unbeaten_are_those_that_none_beats(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points).T
    beaten = [any((a <= c and b <= d and (a, b) != (c, d)) for a, b in points) for c, d in points]
    assert sorted(bars.unbeaten(x, y)) == [n for n, lost in enumerate(beaten) if not lost]


def test_areas_and_distances_are_said_in_words() -> None:
    roc = curves.roc_curves(SCORES, STYLES).alt
    reliability = curves.reliability_curves(SCORES, STYLES, *WORDED).alt
    assert "base 0.750, tuned 1.000" in roc
    assert "base 0.750, tuned 0.750" in EVERY["monitors"]()["roc"].alt, "of the one monitor's test"
    sure = pd.DataFrame({"variant": "base", "probability": [0.75] * 4, "so": [1, 1, 1, 0]})
    assert "base 0.000" in curves.reliability_curves(sure, STYLES, *WORDED).alt
    assert "undefined" in curves.roc_curves(SCORES[SCORES["truth"]], STYLES).alt
    assert "share of wet days by probability of rain" in reliability
    assert "share harmful by probability of harm" in EVERY["monitors"]()["reliability"].alt


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1))
def test_a_file_says_what_its_picture_shows(tmp_path: Path, words: str) -> None:
    write_picture(tmp_path / "x.svg", Picture(Figure((1, 1)), f"shows {words}."))
    assert alt_of(tmp_path / "x.svg") == f"shows {words}."


def test_a_file_that_says_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.svg").write_text("<svg/>", encoding="utf-8")
    with pytest.raises(ValueError, match="does not say what it shows"):
        alt_of(tmp_path / "x.svg")


def test_how_far_what_is_said_follows_is_said_in_words() -> None:
    words = EVERY["moved"]()["moved"].alt
    assert "towards another concept, base: 0 per cent 0.00, 50 per cent 0.25, 200 per cent" in words
    assert "uncompared" not in words


# What `dvc plots` draws


def test_curves_are_small_tables(tmp_path: Path) -> None:
    write_curves(tmp_path / "curves", curves_over_layers(both(separation), ("last", "test")))
    assert {path.name for path in tmp_path.rglob("*.csv")} == {
        "centroid_accuracy.csv", "knn_accuracy.csv", "silhouette.csv",
    }  # fmt: skip
    table = pd.read_csv(tmp_path / "curves/silhouette.csv")
    assert list(table.columns) == ["layer", "variant", "value", "low", "high"]
    assert list(table["layer"]) == [0, 1, 0, 1]
    assert set(table["variant"]) == set(STYLES)
