# SPDX-License-Identifier: GPL-2.0-only
"""A file of records, of damo or of ``damon record``, as a run directory: what was observed, and free memory beside it.

The tables ``contexts``, ``snapshots``, ``regions`` and ``machine``, and ``truth`` where it is known. A record has no
counters and no schemes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from damon.core.results import REGION
from damon.errors import InvalidInput
from damon.quoting import cut
from damon.records.form import Key
from damon.records.names import mappings
from damon.records.read import Damaged, Record, Snapshot, read
from damon.records.siblings import MOST, beside, footprints
from damon.results.directory import DirectorySink
from damon.results.regions import MAX_ROWS, Encoder
from damon.version import __version__

_EVERY: Final = 64  # snapshots between two reports of progress
_MOST_NAMED: Final = 4096
_USUAL_US: Final = 5000, 100_000  # sampling and aggregation interval


@dataclass(frozen=True)
class Made:
    """What came of a file; ``damaged`` is why its end could not be read, ``skipped`` the snapshots out of order."""

    snapshots: int
    skipped: int
    damaged: str | None


@dataclass(frozen=True)
class Accessed:
    """What was accessed from ``begin_ns`` to ``end_ns`` (of the record's clock): ``share`` (0..1) of each range."""

    key: Key
    begin_ns: int
    end_ns: int
    starts: Sequence[int]
    ends: Sequence[int]
    shares: Sequence[float]


@dataclass
class _Target:
    encoder: Encoder = field(default_factory=Encoder)
    end_ns: int = -1
    nr: int = 0


@dataclass
class _Context:
    """A worker's rows of the table ``contexts``: the n-th snapshots of its targets are one row."""

    number: int
    columns: dict[str, array[int]] = field(
        default_factory=lambda: {
            name: array("Q") for name in ("time_ns", "sample_us", "aggr_us", "nr_regions", "accessed_bytes")
        }
    )

    def add(self, at: int, time_ns: int, intervals: tuple[int, int], nr_regions: int, accessed: int) -> None:
        values = time_ns, *intervals, nr_regions, accessed
        if at == len(self.columns["time_ns"]):
            for column, value in zip(self.columns.values(), values, strict=True):
                column.append(value)
            return
        self.columns["time_ns"][at] = max(self.columns["time_ns"][at], time_ns)
        self.columns["nr_regions"][at] += nr_regions
        self.columns["accessed_bytes"][at] += accessed


class _Tables:
    """Fills the tables, snapshot by snapshot; times begin with the first one."""

    def __init__(self, sink: DirectorySink, origin_ns: int) -> None:
        self._sink, self._origin_ns = sink, origin_ns
        self.contexts: dict[int, _Context] = {}
        self.targets: dict[Key, _Target] = {}
        self.nr = self.skipped = self._rows = 0

    def add(self, record: Record, snapshot: Snapshot) -> None:
        context = self.contexts.setdefault(record.key.kdamond, _Context(len(self.contexts)))
        target = self.targets.setdefault(record.key, _Target())
        if snapshot.end_ns <= target.end_ns or snapshot.end_ns < self._origin_ns:
            self.skipped += 1
            return
        words = array("Q", (word for row in snapshot.rows for word in row[:4]))
        rows, aged = target.encoder.encode(words, 1)
        self._rows += len(rows) // len(REGION)
        if self._rows > MAX_ROWS:
            raise InvalidInput(f"record: more than {MAX_ROWS} rows of regions: are not kept; give a shorter one")
        time_ns = snapshot.end_ns - self._origin_ns
        accessed = sum(end - start for start, end, nr, *_ in snapshot.rows if nr)
        context.add(target.nr, time_ns, _intervals(record, snapshot, target.end_ns), len(snapshot.rows), accessed)
        target.nr, target.end_ns, self.nr = target.nr + 1, snapshot.end_ns, self.nr + 1
        head = time_ns, context.number, record.key.target, len(rows) // len(REGION), aged
        names = "time_ns", "context", "target", "nr_rows", "aged"
        self._sink.append("snapshots", {name: [value] for name, value in zip(names, head, strict=True)})
        self._sink.append("regions", {name: rows[at :: len(REGION)] for at, name in enumerate(REGION)})

    def add_truth(self, found: Accessed) -> None:
        """What was accessed while a context monitored."""
        nr = len(found.starts)
        context = self.contexts.get(found.key.kdamond)
        if context is None or not nr or found.begin_ns < self._origin_ns:
            return
        head = found.end_ns - self._origin_ns, found.begin_ns - self._origin_ns, context.number, found.key.target
        names = "time_ns", "begin_ns", "context", "target"
        rows = {name: [value] * nr for name, value in zip(names, head, strict=True)}
        self._sink.append("truth", {**rows, "start": found.starts, "end": found.ends, "share": found.shares})

    def finish(self) -> None:
        for context in self.contexts.values():
            numbers = [context.number] * len(context.columns["time_ns"])
            self._sink.append("contexts", {**context.columns, "context": numbers})


def _intervals(record: Record, snapshot: Snapshot, before_ns: int) -> tuple[int, int]:
    """Sampling and aggregation interval, us; of forms without them what the times and counts let expect."""
    begin = snapshot.start_ns if snapshot.start_ns is not None else before_ns
    own_us = (snapshot.end_ns - begin) // 1000 if 0 <= begin < snapshot.end_ns else _USUAL_US[1]
    aggr_us = own_us if snapshot.sample_us or not record.aggr_us else record.aggr_us
    most = max((row[2] for row in snapshot.rows), default=0)
    sample_us = snapshot.sample_us or record.sample_us or min(_USUAL_US[0], aggr_us // max(most, 1))
    return max(sample_us, 1), max(aggr_us, 1)


def record_to_run(
    path: Path, out: Path, form: str | None = None, progress: Callable[[str], None] = lambda note: None,
    truth: Iterable[Accessed] = (), result: Mapping[str, Any] | None = None,
) -> Made:  # fmt: skip
    """Make the run directory ``out`` of the records at ``path``.

    Args:
        path: in any form that ``damon.records.read`` reads, with ``FILE.kdamonds``, ``.vmas`` and ``.mem_footprint``
            beside it where they were recorded.
        out: new, or empty.
        form: of the tables, see ``DirectorySink``.
        progress: is called with what is done.
        truth: what was accessed in truth, where it was recorded beside.
        result: the figures of the run, as ``run.json`` has them.

    Raises:
        InvalidInput: it is not a file of records, or ``out`` is not a new directory.
        OSError: it cannot be read, or the directory not be written.
    """
    origin_ns, end_ns = _span(path)
    sink = DirectorySink(out, _request(path, (end_ns - origin_ns) / 1e9), form)
    tables = _Tables(sink, origin_ns)
    damaged = None
    try:
        for record, snapshot in read(path):
            if (tables.nr + tables.skipped) % _EVERY == 0:
                progress(f"snapshot {tables.nr + tables.skipped}")
            tables.add(record, snapshot)
    except Damaged as error:
        damaged = str(error)
    finally:
        for found in truth:
            tables.add_truth(found)
        tables.finish()
        _free_memory(path, sink)
        sink.close()
    sink.describe(contexts=_contexts(path, tables), result=dict(result or {}) if damaged is None else None)
    return Made(tables.nr, tables.skipped, damaged)


def _span(path: Path) -> tuple[int, int]:
    """When the first snapshot began and the last one ended, ns."""
    begins, end = [], 0
    try:
        for record, snapshot in read(path):
            usual_ns = 1000 * _intervals(record, snapshot, -1)[1]
            begins.append(max(snapshot.end_ns - usual_ns, 0) if snapshot.start_ns is None else snapshot.start_ns)
            begins[:] = [min(begins)]
            end = max(end, snapshot.end_ns)
    except Damaged:
        pass
    if not begins:
        raise InvalidInput(f"record: {cut(path.name)!r}: has no snapshots; record for longer")
    return begins[0], end


def _request(path: Path, seconds: float) -> dict[str, Any]:
    return {
        "command": "damon import",
        "pydamon": __version__,
        "machine": "record",
        "record": cut(path.name),
        "seconds": seconds,
        "modules": {},
        "workload": None,
        "every_ns": 0,
        "regions": True,
        "why": False,
    }


def _contexts(path: Path, tables: _Tables) -> list[Any]:
    """The contexts as ``FILE.kdamonds`` has them, or as far as the records tell, with the names of mappings."""
    known_workers = beside(path, "kdamonds")
    workers = known_workers if isinstance(known_workers, list) else []
    found = []
    for kdamond, context in tables.contexts.items():
        worker = workers[kdamond] if kdamond < len(workers) else None
        known = worker.get("contexts") if isinstance(worker, dict) else None
        first = known[0] if isinstance(known, list) and known and isinstance(known[0], dict) else {}
        intervals = {f"{name}_us": str(context.columns[f"{name}_us"][0]) for name in ("sample", "aggr")}
        nr = 1 + max(key.target for key in tables.targets if key.kdamond == kdamond)
        named = [
            [target, start, end, cut(name)]
            for target in range(min(nr, 64))
            for start, end, name in mappings(path, target)
            if name.strip("0") and 0 <= start < end < MOST
        ]
        usual = {"ops": "vaddr", "intervals": intervals, "targets": [], "schemes": []}
        found.append({**usual, **first, "mappings": named[:_MOST_NAMED]})
    return found


def _free_memory(path: Path, sink: DirectorySink) -> None:
    """The table ``machine``: free and resident memory as they were looked at, from the first look on."""
    looks = list(footprints(path))
    times = [look.time_ns - looks[0].time_ns for look in looks]
    if not looks or any(time < 0 for time in times):
        return
    unknown = ("swapped_bytes", "faults", "refaults", "swap_ins", "swap_outs", "psi_some_us", "slowdown")
    sink.append("machine", {
        "time_ns": times, "free_bytes": [look.free for look in looks],
        "resident_bytes": [look.resident for look in looks], **{name: [None] * len(looks) for name in unknown},
    })  # fmt: skip
