"""Tables that Arrow reads: Parquet, and what `datasets.save_to_disk` writes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from pipeline.core.console import InputError, one_line
from pipeline.corpora.columns import AsMeant, TableRow, Wanted, renamed

ROWS_AT_ONCE = 1000


def read_arrow(path: Path, wanted: Wanted, as_meant: AsMeant) -> Iterator[TableRow]:
    """Yield every row; see pipeline.corpora.tables.read_table. A class of the `datasets` library,
    which is a number with a name, is its name."""
    number = 0
    with _opened(path) as (schema, batches_of):
        names = wanted.in_header(path, schema.names)
        as_meant["columns_in_another_form"] += len(renamed(names))
        classes = _classes(schema)
        for batch in batches_of([*names.values()]):
            for cells in batch.to_pylist():
                number += 1
                yield (
                    f"{path} row {number}",
                    {
                        column: _named(cells[names[column]], classes.get(names[column]))
                        if column in names
                        else None
                        for column in wanted.all
                    },
                )


def arrow_columns(path: Path) -> list[str]:
    with _opened(path) as (schema, _):
        return list(schema.names)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A table's schema, and what yields batches of some columns."""
    try:
        with pa.OSFile(str(path)) as file:
            if path.suffix.lower() == ".parquet":
                table = pq.ParquetFile(file)
                yield (
                    table.schema_arrow,
                    lambda names: table.iter_batches(ROWS_AT_ONCE, columns=names),
                )
            else:
                stream = _stream(file)
                yield stream.schema, lambda names: (batch.select(names) for batch in stream)
    except pa.ArrowException as error:
        raise InputError(f"{path} cannot be read ({one_line(error)}); write it again") from None


def _stream(file: Any) -> Any:
    """The batches of either of Arrow's formats: the streaming one, which `datasets` writes, or that
    of files."""
    try:
        return pa.ipc.open_stream(file)
    except pa.ArrowInvalid:
        file.seek(0)
        whole = pa.ipc.open_file(file)
        return pa.RecordBatchReader.from_batches(
            whole.schema, (whole.get_batch(at) for at in range(whole.num_record_batches))
        )


def _classes(schema: Any) -> dict[str, list[str]]:
    """The names of the classes in each column that has any, as `datasets` notes them."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = noted.get("info", {}).get("features", {})
    found = {column: _class_names(feature) for column, feature in features.items()}
    return {column: names for column, names in found.items() if names}


def _class_names(feature: Any) -> list[str]:
    if isinstance(feature, list):
        return _class_names(feature[0]) if feature else []
    if not isinstance(feature, Mapping):
        return []
    names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    return list(names) if names else _class_names(feature.get("feature"))


def _named(cell: Any, classes: list[str] | None) -> Any:
    if isinstance(cell, list):
        return [_named(item, classes) for item in cell]
    if isinstance(cell, float) and cell != cell:  # pandas' way to say that nothing is there
        return None
    if classes and isinstance(cell, int):
        return classes[cell] if 0 <= cell < len(classes) else None
    return cell
