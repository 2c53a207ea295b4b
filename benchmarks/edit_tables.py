"""Tables of edits beside what equals them."""

from pathlib import Path

from benchmarks.committed import metrics_of
from pipeline.core.paths import METRICS
from pipeline.reporting.edit_table import EDIT_HEADINGS, beside_rows, matches
from pipeline.reporting.markdown import drawn, said


def table_of_edits_beside() -> str:
    """Every edit, an instruction and a steering vector: changes, and how far those of the latter go
    beyond the edit's; and above, whether the vector has the edit's effect."""
    paths = sorted(Path(METRICS / "control").iterdir())
    control = {path.stem: metrics_of(f"control/{path.name}") for path in paths}
    rows = []
    for row in beside_rows(control):
        cells = [said(change or {}, "+", band=False) for change in row.changes]
        rows.append([f"`{row.edit}`", row.kind, *cells])
        if any(row.beyond):
            beyond = [said(change or {}, "+", band=False) for change in row.beyond]
            rows.append(["", "beyond the edit", *beyond])
    return "\n\n".join([" ".join(matches(control)), drawn(["edit", "by", *EDIT_HEADINGS], rows)])
