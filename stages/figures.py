"""Draw what was measured."""

from pipeline.console import run
from pipeline.files import read_json
from pipeline.params import load_params
from pipeline.paths import FIGURES, METRICS, REPRESENTATIONS
from pipeline.representations import load_representations


def main() -> None:
    params = load_params()
    # Seaborn takes seconds to import, and no mistake in params waits for it.
    from pipeline import figures
    from pipeline.figures import save_figure

    drawn, reading = params.figures, params.reading
    figures.set_style(drawn)
    separation, safety, selfie = (
        {name: read_json(METRICS / stage / f"{name}.json") for name in params.variants}
        for stage in ("separation", "safety", "selfie")
    )
    stored = {
        name: load_representations(REPRESENTATIONS / f"{name}.safetensors")
        for name in drawn.compared
    }
    text_only = read_json(METRICS / "text_only.json")
    pictures = {
        "map": figures.concept_map(stored, reading, drawn.map_texts),
        "separation": figures.separation_bars(separation, text_only, reading),
        "layers": figures.layer_curves(separation, drawn.compared, reading),
        "interpretation": figures.interpretation_bars(selfie, params.asking),
    }
    if any(safety.values()):
        pictures["behaviour"] = figures.behaviour_bars(safety)
    for name, picture in pictures.items():
        save_figure(FIGURES / f"{name}.png", picture)


if __name__ == "__main__":
    run(main)
