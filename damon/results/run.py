# SPDX-License-Identifier: GPL-2.0-only
"""Results to be read: of a run directory, which may be foreign, damaged or still being written, or in memory."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from damon import format_version
from damon.errors import InvalidInput, MissingCapability
from damon.model import html
from damon.quoting import cut, quoted
from damon.results.arrow import arrow_schema
from damon.results.directory import FORMAT, FORMS, NAME, has_arrow
from damon.results.regions import Snapshot, in_order, snapshots
from damon.results.sink import MemorySink
from damon.results.tables import TABLES, Column, Kind

_ASKED: Final = ("command", "machine", "seed", "seconds", "every_ns")
_MAX_HEAD: Final = 64 << 20
_MAX_LINE: Final = 64 << 20
_TYPES: Final[Mapping[Kind, tuple[type, ...]]] = {Kind.INT: (int,), Kind.FLOAT: (float, int), Kind.TEXT: (str,)}

Chunk = dict[str, list[Any]]


@dataclass(frozen=True)
class Table:
    """All rows of one table: ``columns[name]`` is a list, one value a row."""

    name: str
    columns: Chunk

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = zip(*(map(html.text, column) for column in self.columns.values()), strict=True)
        return html.table(f"{self.name}: {len(self)} rows", list(self.columns), rows)

    def where(self, **wanted: object) -> Table:
        """The rows with these values, e.g. ``where(area="hot")``."""
        tests = [self.columns[name] for name in wanted]
        values = tuple(wanted.values())
        rows = [index for index, row in enumerate(zip(*tests, strict=True)) if row == values]
        return Table(self.name, {name: [column[row] for row in rows] for name, column in self.columns.items()})

    def to_arrow(self) -> Any:
        """A pyarrow table (the extra ``results``)."""
        return import_module("pyarrow").table(self.columns)

    def to_pandas(self) -> Any:
        """A pandas data frame, if pandas is installed."""
        return import_module("pandas").DataFrame(self.columns)

    def plot(self, *names: str, axes: Any = None) -> Any:
        """Curves of the columns ``names`` over time in s, on ``axes`` of matplotlib (the extra ``report``) or new ones.

        Raises:
            InvalidInput: the table has no such column, or no times.
        """
        units = {column.name: column.unit for column in TABLES[self.name] if column.kind is not Kind.TEXT}
        for name in ("time_ns", *names):
            if name not in units:
                known = ", ".join(one for one in units if one != "time_ns")
                raise InvalidInput(f"column: {quoted(name)}: is not one of {self.name}'s; give some of {known}")
        axes = axes if axes is not None else import_module("matplotlib.figure").Figure(layout="constrained").subplots()
        times = [time_ns / 1e9 for time_ns in self.columns["time_ns"]]
        for name in names:
            axes.plot(times, [float("nan") if one is None else one for one in self.columns[name]], label=name)
        axes.set_xlabel("s")
        axes.set_ylabel(", ".join(dict.fromkeys(units[name] for name in names)))
        axes.legend(frameon=False)
        return axes


class Run:
    """One run: what it was asked, and what came of it.

    ``request`` is what was asked. ``contexts`` are those that ran, in damo's form. ``result`` is what ``damon run
    --json`` writes; None while it runs, or when it was killed. ``state`` is ``running`` or ``complete``. ``damaged`` is
    why the end of some table could not be read.
    """

    def __init__(self, head: Mapping[str, Any], chunks: Callable[[str], Iterator[Chunk]], name: str = "") -> None:
        self.name = name
        self.request: Mapping[str, Any] = head.get("request") or {}
        self.contexts: list[Any] = list(head.get("contexts") or [])
        self.result: Mapping[str, Any] | None = head.get("result")
        self.state = str(head.get("state", "running"))
        strides = head.get("strides")
        self.strides: Mapping[str, Any] = strides if isinstance(strides, dict) else {}
        self.damaged: str | None = None
        self._chunks = chunks
        self._batches: Callable[[str], Iterator[Any]] | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """The run in the directory ``path``.

        Raises:
            InvalidInput: it is not one, or one of a later version.
            MissingCapability: its tables need pyarrow.
            OSError: it cannot be read.
        """
        place = Path(path)
        head = _head(place)
        form = head["form"]
        if form == "arrow" and not has_arrow():
            raise MissingCapability(f"{place}: pyarrow is not installed, and the tables are Arrow's; install it")
        run = cls(head, lambda table: _read(run, place, table, form), place.name)
        if form == "arrow":
            run._batches = lambda table: _read_batches(run, place, table)
        return run

    @classmethod
    def of_memory(cls, sink: MemorySink, head: Mapping[str, Any]) -> Run:
        """Rows that were kept in memory; ``head`` as in ``run.json``."""

        def chunks(table: str) -> Iterator[Chunk]:
            yield sink.tables[table]

        return cls(head, chunks)

    def chunks(self, table: str) -> Iterator[Chunk]:
        """The rows of ``table`` in parts, so that its size does not matter."""
        if table not in TABLES:
            raise InvalidInput(f"table: {quoted(table)}: is unknown; give one of {', '.join(TABLES)}")
        yield from self._chunks(table)

    def batches(self, table: str) -> Iterator[Any] | None:
        """As ``chunks``, but as pyarrow's record batches; None where they are not kept so."""
        return None if self._batches is None else self._batches(table)

    def table(self, name: str) -> Table:
        """All rows of one table; none where there are none."""
        found: Chunk = {column.name: [] for column in TABLES.get(name, ())}
        for chunk in self.chunks(name):
            for column, values in chunk.items():
                found[column].extend(values)
        return Table(name, found)

    def _repr_html_(self) -> str:
        """For notebooks: what was asked, and how many rows each table has."""
        asked = [(name, html.text(self.request[name])) for name in _ASKED if name in self.request]
        tables = [(f"table {name}", f"{len(self.table(name))} rows") for name in TABLES]
        return html.table(f"run {self.name}: {self.state}", ("field", "value"), [*asked, *tables])

    def snapshots(self) -> Iterator[Snapshot]:
        """The regions of each target at each aggregation that was recorded (``--regions``)."""
        names = ("time_ns", "context", "target", "nr_rows", "aged")
        heads = (row for chunk in self.chunks("snapshots") for row in zip(*map(chunk.get, names), strict=True))
        columns = [column.name for column in TABLES["regions"]]
        rows = (row for chunk in self.chunks("regions") for row in zip(*map(chunk.get, columns), strict=True))
        for snapshot in snapshots(heads, rows):
            if not in_order(snapshot.regions):
                raise InvalidInput(f"{self.name}: regions at {snapshot.time_ns} ns: are not in order; it was changed")
            yield snapshot


def regular(path: Path, longest: int | None = None) -> int:
    """A descriptor of the regular file ``path`` of a run directory, which may be another user's.

    Raises:
        InvalidInput: it is something else, or larger than ``longest`` bytes.
        OSError: it cannot be opened; ELOOP for a link.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or (longest is not None and found.st_size > longest):
        os.close(fd)
        why = "is not a regular file" if not stat.S_ISREG(found.st_mode) else "is too big"
        raise InvalidInput(f"{path}: {why}; give the directory of a run")
    return fd


def _head(place: Path) -> dict[str, Any]:
    path = place / NAME
    try:
        with os.fdopen(regular(path, _MAX_HEAD), "rb") as file:
            head = json.loads(file.read())
    except FileNotFoundError:
        raise InvalidInput(f"{place}: has no {NAME}; give a directory that --out has written") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: {cut(str(error))}: is not JSON; give a directory that --out has written") from None
    if not isinstance(head, dict):
        raise InvalidInput(f"{path}: {quoted(head)}: is not an object; give a directory that --out has written")
    later = format_version.refusal(head, FORMAT)
    if later is not None:
        raise InvalidInput(f"{path}: {later}")
    shapes = {"form": str, "request": dict, "state": str, "contexts": list}
    for name, kind in shapes.items():
        if not isinstance(head.get(name), kind):
            raise InvalidInput(f"{path}: {name}: {quoted(head.get(name))}: is not valid; it was changed")
    if head["form"] not in FORMS:
        raise InvalidInput(f"{path}: form: {quoted(head['form'])}: is unknown; give one of {', '.join(FORMS)}")
    if not isinstance(head.get("result"), dict | None):
        raise InvalidInput(f"{path}: result: {quoted(head['result'])}: is not an object; it was changed")
    return head


def _read(run: Run, place: Path, table: str, form: str) -> Iterator[Chunk]:
    if form == "arrow":
        for batch in _read_batches(run, place, table):
            yield _checked(batch.to_pydict(), table, place / f"{table}.arrows")
        return
    path = place / f"{table}.jsonl"
    with suppress(FileNotFoundError), os.fdopen(regular(path), "rb") as file:  # without rows there is none
        for chunk in _json_chunks(run, file, path):
            yield _checked(chunk, table, path)


def _read_batches(run: Run, place: Path, table: str) -> Iterator[Any]:
    path = place / f"{table}.arrows"
    with suppress(FileNotFoundError), os.fdopen(regular(path), "rb") as file:
        for batch in _arrow_batches(run, file, path, table):
            _check_batch(batch, table, path)
            yield batch


def _json_chunks(run: Run, file: Any, path: Path) -> Iterator[Any]:
    while line := file.readline(_MAX_LINE):
        if not line.endswith(b"\n"):
            run.damaged = f"{path.name}: its last line is not complete"
            return
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            run.damaged = f"{path.name}: a line of it is not JSON"
            return


def _arrow_batches(run: Run, file: Any, path: Path, table: str) -> Iterator[Any]:
    pyarrow: Any = import_module("pyarrow")

    try:
        reader = pyarrow.ipc.open_stream(file)
        for batch in reader:
            batch.validate(full=True)
            yield _complete(batch, table)
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # it ends too early
        run.damaged = f"{path.name}: {cut(str(error))}"


def _lacking(names: Sequence[str], table: str) -> list[Column]:
    """The columns at the end of ``table`` that are not known everywhere, and that an older run does not have."""
    columns = TABLES[table]
    rest = columns[len(names) :]
    known = [column.name for column in columns[: len(names)]] == list(names)
    return list(rest) if known and all(column.optional for column in rest) else []


def _complete(batch: Any, table: str) -> Any:
    """``batch`` with the columns that came later, unknown."""
    pyarrow: Any = import_module("pyarrow")
    lacking = _lacking(batch.schema.names, table)
    if not lacking:
        return batch
    schema = arrow_schema(table)
    unknown = [pyarrow.nulls(len(batch), schema.field(column.name).type) for column in lacking]
    fields = [*batch.schema, *(schema.field(column.name) for column in lacking)]
    return pyarrow.RecordBatch.from_arrays([*batch.columns, *unknown], schema=pyarrow.schema(fields))


def _check_batch(batch: Any, table: str, path: Path) -> None:
    """Refuse a batch whose columns, or their types, are not those of ``table``."""
    if batch.schema != arrow_schema(table):
        raise InvalidInput(f"{path}: it does not have the columns of the table {table}; it was changed")
    for column, values in zip(TABLES[table], batch.columns, strict=True):
        if values.null_count and not column.optional:
            raise InvalidInput(f"{path}: {column.name}: None: is not valid; it was changed")


def _checked(chunk: Any, table: str, path: Path) -> Chunk:
    """``chunk`` if it has the columns of ``table``, equally long, with values of their kinds."""
    columns = TABLES[table]
    if isinstance(chunk, dict) and chunk and isinstance(first := next(iter(chunk.values())), list):
        chunk = {**chunk, **{column.name: [None] * len(first) for column in _lacking(list(chunk), table)}}
    if not isinstance(chunk, dict) or list(chunk) != [column.name for column in columns]:
        raise InvalidInput(f"{path}: it does not have the columns of the table {table}; it was changed")
    lengths = {len(values) if isinstance(values, list) else -1 for values in chunk.values()}
    if len(lengths) > 1 or -1 in lengths:
        raise InvalidInput(f"{path}: its columns are not equally long; it was changed")
    for column in columns:
        _check_values(chunk[column.name], column, path)
    return chunk


def _check_values(values: list[Any], column: Column, path: Path) -> None:
    kinds = _TYPES[column.kind]
    for value in values:
        if value is None and column.optional:
            continue
        if type(value) not in kinds or (column.kind is Kind.INT and not 0 <= value < 1 << 64):
            raise InvalidInput(f"{path}: {column.name}: {quoted(value)}: is not valid; it was changed")
