# SPDX-License-Identifier: GPL-2.0-only
"""Where rows of results go, and the place in memory for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from damon.results.tables import TABLES, Columns


class Sink(Protocol):
    """Takes rows, table by table, in the order of time."""

    def append(self, table: str, columns: Columns) -> None:
        """Add rows: equally many values of each column of ``table``.

        Raises:
            OSError: they cannot be kept.
        """

    def flush(self) -> None:
        """Keep what waits, so that it can be read."""

    def close(self) -> None:
        """Keep what waits. Nothing comes after it."""


class MemorySink:
    """Keeps all rows: ``tables[name][column]`` is a list."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[Any]]] = {
            name: {column.name: [] for column in columns} for name, columns in TABLES.items()
        }

    def append(self, table: str, columns: Columns) -> None:
        for name, values in columns.items():
            self.tables[table][name].extend(values)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class RowWriter:
    """Gives rows of several threads to a sink. After an error it takes no more, and those that call it go on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self.error: OSError | None = None  #: why it takes no more

    def append(self, table: str, columns: Columns) -> None:
        """Rows of one table; a column that is left out is not known."""
        self.append_all({table: columns})

    def append_all(self, tables: Mapping[str, Columns]) -> None:
        """Rows of several, and none of other threads in between."""
        with self._lock:
            for table, columns in tables.items():
                self._append(table, columns)

    def _append(self, table: str, columns: Columns) -> None:
        nr = max(map(len, columns.values()), default=0)
        if self.error is not None or not nr:
            return
        unknown = [column.name for column in TABLES[table] if column.name not in columns]
        try:
            self._sink.append(table, {**columns, **{name: [None] * nr for name in unknown}})
        except OSError as error:
            self.error = error

    def flush(self) -> None:
        """Keep what waits."""
        with self._lock:
            if self.error is None:
                try:
                    self._sink.flush()
                except OSError as error:
                    self.error = error

    def close(self) -> None:
        """Close the sink.

        Raises:
            OSError: what waits cannot be kept.
        """
        self._sink.close()
