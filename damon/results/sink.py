# SPDX-License-Identifier: GPL-2.0-only
"""Where rows of results go, and the place in memory for them."""

from __future__ import annotations

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
