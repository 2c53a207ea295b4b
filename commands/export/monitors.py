"""A variant's saved monitors in a folder of their own, with their card."""

import shutil
from pathlib import Path

from commands.export.cards import CARD, monitor_card
from commands.export.run_files import needed, read_run
from pipeline.core.files import whole
from pipeline.core.paths import MONITORS
from pipeline.monitors.saved import load_monitor


def export_monitors(variant: str, folder: Path) -> None:
    """Write every saved monitor of a variant, JSON and safetensors, and their card. Raises
    InputError where they are missing or damaged."""
    run = read_run(variant)
    needed(MONITORS / variant)
    saved = {path: load_monitor(path) for path in sorted((MONITORS / variant).glob("*.json"))}
    with whole(folder) as draft:
        draft.mkdir()
        for path in saved:
            for file in (path, path.with_suffix(".safetensors")):
                shutil.copyfile(file, draft / file.name)
        card = monitor_card(run, [monitor.position for monitor in saved.values()])
        (draft / CARD).write_text(card, encoding="utf-8")
