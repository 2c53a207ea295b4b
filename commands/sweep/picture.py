"""A sweep as a picture: settings below each other, a panel a number, both intervals."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from commands.sweep.page import label_of, titles_of
from commands.sweep.pooling import VARIANT, Setting
from pipeline.reporting.comparison import Marks
from pipeline.reporting.short_headline import MEANT, RATIO
from pipeline.reporting.style import LIGHT, Look, legend_below, looks
from pipeline.reporting.svg import Picture

OVER_TEXTS, OVER_SEEDS, ONE_SEED = "95 % over texts", "95 % of the mean over seeds", "a seed"


def sweep_picture(settings: Sequence[Setting], numbers: Sequence[str]) -> Picture:
    """A point a setting, its mean; a thin line over texts, a broad one over seeds, a dot a seed.
    The dashed line is the untouched model, of probes at its best."""
    titles = titles_of(settings)
    labels = [label_of(own, titles, "\n") for own in settings]
    lines = sum(1.15 + 0.85 * label.count("\n") for label in labels)
    figure = Figure((1.6 + 2.1 * len(numbers), 1.4 + 0.24 * lines), layout="constrained")
    panels = figure.subplots(1, len(numbers), squeeze=False, sharey=True)[0]
    styles = looks([*dict.fromkeys(str(own.values.get(VARIANT, "")) for own in settings)])
    described = []
    for axis, number in zip(panels, numbers, strict=True):
        axis.axvline(1.0 if number == RATIO else 0.0, color=LIGHT.quiet, linewidth=0.9,
                     linestyle=(0, (5, 2)), label="the untouched model")  # fmt: skip
        said = []
        for height, own in enumerate(settings):
            estimate = own.estimate(number)
            if estimate:
                look = styles[str(own.values.get(VARIANT, ""))]
                _row(axis, height, estimate, own.values_of(number), look)
                said.append(f"{label_of(own, titles)} {estimate['value']:.3f}")
        axis.set(title=MEANT[number].label, yticks=range(len(labels)), yticklabels=labels,
                 ylim=(len(labels) - 0.4, -0.6))  # fmt: skip
        axis.grid(visible=False, axis="y")
        described.append(f"{MEANT[number].label}: {'; '.join(said)}")
    legend_below(figure, panels)
    return Picture(figure, f"Settings with 95 % intervals. {'. '.join(described)}.")


def _row(axis: Axes, height: int, estimate: Marks, seeds: Sequence[float], look: Look) -> None:
    """One setting's mean, both of its intervals where they are known, and its seeds below."""
    if "seeds_low" in estimate:
        axis.plot([estimate["seeds_low"], estimate["seeds_high"]], [height] * 2,
                  color=look.colour, linewidth=4.5, alpha=0.6, solid_capstyle="butt",
                  label=OVER_SEEDS)  # fmt: skip
    if "low" in estimate:
        axis.plot([estimate["low"], estimate["high"]], [height] * 2, color=LIGHT.ink,
                  linewidth=1.0, marker="|", markersize=7, label=OVER_TEXTS)  # fmt: skip
    axis.scatter(seeds, [height + 0.3] * len(seeds), s=5, color=LIGHT.quiet, label=ONE_SEED)
    axis.plot([estimate["value"]], [height], color=look.colour, marker=look.marker,
              markersize=6, markeredgecolor=LIGHT.paper, linestyle="none")  # fmt: skip
