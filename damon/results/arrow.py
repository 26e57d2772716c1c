# SPDX-License-Identifier: GPL-2.0-only
"""Rows of results as an Arrow stream (pyarrow, the extra ``results``).

Columns are handed over as buffers. pyarrow's own conversion of a list imports pandas where that is installed, which
takes longer than all else that is written of a day.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import accumulate
from typing import IO, Any, Final, TypeAlias

from damon.results.tables import TABLES, Kind

#: Rows of one column that wait to be written; an array, unless it is of text or some are unknown.
Waiting: TypeAlias = "list[Any] | array[int] | array[float]"
#: Type codes of those arrays.
ARRAYS: Final = {Kind.INT: "Q", Kind.FLOAT: "d"}


def arrow_schema(table: str) -> Any:
    """The columns of ``table`` for pyarrow."""
    pa = import_module("pyarrow")
    kinds = {Kind.INT: pa.uint64(), Kind.FLOAT: pa.float64(), Kind.TEXT: pa.string()}
    return pa.schema([pa.field(column.name, kinds[column.kind]) for column in TABLES[table]])


class ArrowFile:
    """Writes the rows of ``table`` to ``file``, which it closes."""

    def __init__(self, file: IO[bytes], table: str) -> None:
        self._pa, self._schema, self._file = import_module("pyarrow"), arrow_schema(table), file
        self._kinds = [(column.name, column.kind) for column in TABLES[table]]
        options = self._pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = self._pa.ipc.new_stream(file, self._schema, options=options)

    def write(self, columns: Mapping[str, Waiting]) -> None:
        """Add a batch, which can be read from then on."""
        py_buffer = self._pa.py_buffer
        arrays = []
        for field, (name, kind) in zip(self._schema, self._kinds, strict=True):
            values = columns[name]
            parts = [None if part is None else py_buffer(part) for part in buffers(values, kind)]
            arrays.append(self._pa.Array.from_buffers(field.type, len(values), parts))
        self._writer.write_batch(self._pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._file.flush()

    def close(self) -> None:
        self._writer.close()
        self._file.close()


def buffers(values: Waiting, kind: Kind) -> list[Any]:
    """What Arrow keeps of a column: which values are known (None: all), then the values; of text offsets and bytes."""
    if not isinstance(values, list):
        return [None, values]
    known = validity(values) if None in values else None
    if kind is Kind.TEXT:
        texts = {value: (value or "").encode() for value in dict.fromkeys(values)}
        encoded = list(map(texts.__getitem__, values))
        return [known, array("i", accumulate(map(len, encoded), initial=0)), b"".join(encoded)]
    return [known, array(ARRAYS[kind], [value or 0 for value in values] if known else values)]


def validity(values: Sequence[object]) -> bytes:
    """A bit for each value, the first one lowest: 1 where it is not None."""
    bits = "".join("0" if value is None else "1" for value in reversed(values))
    return int(bits or "0", 2).to_bytes(-(-len(values) // 8), "little")
