# SPDX-License-Identifier: GPL-2.0-only
"""The tables of a run as Parquet files, for programs that read no Arrow streams (the extra ``results``)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from damon.results.arrow import arrow_schema
from damon.results.directory import check_place
from damon.results.run import Run
from damon.results.tables import TABLES


def write_parquet(run: Run, out: Path, option: str = "--parquet") -> list[Path]:
    """Write ``out/TABLE.parquet`` for each table that has rows, part by part; the files.

    Args:
        out: new, or empty.
        option: what refusals of ``out`` name.

    Raises:
        InvalidInput: ``out`` is something else, or the run was changed.
        OSError: it cannot be read or written.
    """
    check_place(out, option)
    out.mkdir(exist_ok=True)
    written = []
    for table in TABLES:
        batches = _batches(run, table)
        first = next(batches, None)
        if first is None:
            continue
        written.append(out / f"{table}.parquet")
        with import_module("pyarrow.parquet").ParquetWriter(written[-1], first.schema, compression="zstd") as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)
    return written


def _batches(run: Run, table: str) -> Iterator[Any]:
    found = run.batches(table)
    if found is not None:
        yield from found
        return
    pa = import_module("pyarrow")
    schema = arrow_schema(table)
    for chunk in run.chunks(table):
        if any(chunk.values()):
            yield pa.record_batch([pa.array(chunk[field.name], field.type) for field in schema], schema=schema)
