"""The rows of a complete run as Parquet, for pandas, DuckDB and everything else that reads it."""

import json
from collections.abc import Callable, Iterable
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from ohgw.core.records import Final, Report

_NESTED = ("metrics", "proposed", "configuration")  # a column for each of their keys
_SCHEMAS = {
    Report: {
        "search": pa.string(),
        "seed": pa.int64(),
        "trial": pa.int64(),
        "worker": pa.int64(),
        "start": pa.int64(),
        "resource": pa.int64(),
        "score": pa.float64(),
        "work": pa.float64(),
        "job_work": pa.float64(),
        "probe_work": pa.float64(),
        "wall": pa.float64(),
        "diagnostics": pa.string(),
    },
    Final: {
        "search": pa.string(),
        "seed": pa.int64(),
        "trial": pa.int64(),
        "resource": pa.int64(),
        "score": pa.float64(),
        "work": pa.float64(),
        "probe_work": pa.float64(),
        "trials": pa.int64(),
        "reports": pa.int64(),
        "diverged": pa.int64(),
        "wall": pa.float64(),
    },
}


def parquet_writer(
    kind: type[Report] | type[Final], rows: Iterable[Report | Final]
) -> Callable[[IO[bytes]], Any]:
    """What writes rows of one kind to an open file.

    Columns are the fields of the row; `metrics`, `proposed` (x) and `configuration` (x') have one
    for each key, `configuration.learning_rate`, and `diagnostics` is JSON text. A diverged score
    is null.
    """
    flat = [_flat(row) for row in rows]
    columns = dict(_SCHEMAS[kind])
    for name in dict.fromkeys(name for row in flat for name in row):
        if name not in columns:
            columns[name] = _type([row[name] for row in flat if row.get(name) is not None])
    table = pa.Table.from_pylist(flat, schema=pa.schema(list(columns.items())))
    return lambda file: parquet.write_table(table, file, compression="zstd")


def _flat(row: Report | Final) -> dict[str, Any]:
    content = row.model_dump(exclude={"kind", "diagnostics", *_NESTED})
    for field in _NESTED:
        for key, value in getattr(row, field, {}).items():
            content[f"{field}.{key}"] = value
    if isinstance(row, Report):
        content["diagnostics"] = json.dumps(row.diagnostics) if row.diagnostics else None
    return content


def _type(values: list[Any]) -> pa.DataType:
    """Of a hyperparameter or metric: whole numbers and reals mixed are reals."""
    if any(isinstance(value, str) for value in values):
        return pa.string()
    if values and all(isinstance(value, bool) for value in values):
        return pa.bool_()
    if values and all(isinstance(value, int) for value in values):
        return pa.int64()
    return pa.float64()
