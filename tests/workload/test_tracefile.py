# SPDX-License-Identifier: GPL-2.0-only
"""Trace files: what is written is read, levels are sums, damage is found, and what is cut, scaled and anonymised."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import InvalidInput
from damon.workload.tracefile import reader
from damon.workload.tracefile.change import Change, change_trace, scaled_page
from damon.workload.tracefile.form import FANOUT, HEADER, MAX_RUN, TRUTH, TracedArea, pack_rows, unpack_rows
from damon.workload.tracefile.reader import Trace, is_trace
from damon.workload.tracefile.writer import TraceWriter, merge
from tests.examples import examples
from tests.refusals import refused
from tests.workload.traces import MS, Window, random_trace, random_windows, write

AREA = TracedArea("heap", 0, 0, 100, "anon", 4096 * 7, ((0, 50 * MS),))


def _small(path: Path) -> Path:
    windows = [Window(n * MS, (n + 1) * MS, [(n % 50, n % 50 + 10, 0.5, 0.2)]) for n in range(40)]
    return write(path, [("web", 100, windows)], [AREA], 50 * MS)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    windows = random_windows(Random(3), 400, 700)
    trace = Trace(write(tmp_path / "t", [("p", 400, windows)], [], windows[-1].t1 + 5))
    assert [Window(t0, t1, unpack_rows(rows)) for t0, t1, rows in trace.windows(0)] == [w for w in windows if w.rows]
    assert [level.nr for level in trace.description.spaces[0].levels] == [
        -(-trace.nr_windows(0) // FANOUT**level) for level in range(4)
    ]
    assert os.stat(tmp_path / "t").st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["t"]


@examples(40)
@given(st.integers(0, 2**32))
def test_a_level_is_the_sum_of_the_one_below(seed: int) -> None:
    """Page by page, touches and writes."""
    rnd = Random(seed)
    windows = random_windows(rnd, 900, rnd.randint(1, FANOUT))
    found = unpack_rows(merge([pack_rows(window.rows) for window in windows], 900))
    assert all(a[1] <= b[0] for a, b in zip(found, found[1:], strict=False))
    for page in range(900):
        each = [row for window in windows for row in window.rows if row[0] <= page < row[1]]
        (total, share), *more = [(row[2], row[3]) for row in found if row[0] <= page < row[1]] or [(0.0, 0.0)]
        assert not more
        assert total == pytest.approx(sum(row[2] for row in each), rel=1e-6)
        assert share * total == pytest.approx(sum(row[2] * row[3] for row in each), abs=total / 255)


def test_rows_are_joined_and_split() -> None:
    rows = [(0, 3, 1.0, 1.0), (3, 5, 1.0, 1.0), (5, 6, 0.0, 1.0), (6, 7, 1.0, 0.0), (7, 8, 1.0, 0.5)]
    assert [row[:2] for row in unpack_rows(pack_rows(rows))] == [(0, 5), (6, 7), (7, 8)]
    long = unpack_rows(pack_rows([(0, 2 * MAX_RUN + 5, 1.0, 1.0)]))
    assert [row[:2] for row in long] == [(0, MAX_RUN), (MAX_RUN, 2 * MAX_RUN), (2 * MAX_RUN, 2 * MAX_RUN + 5)]
    assert [row[2] for row in unpack_rows(pack_rows([(0, 1, 1e300, 1.0), (1, 2, 1e-300, 1.0)]))] == [1e9]


def test_a_page_that_is_written_or_read_at_all_stays_so() -> None:
    """One write in a thousand, or one read; also in what levels add up."""
    rows = pack_rows([(0, 1, 1000.0, 0.001), (1, 2, 1000.0, 0.999), (2, 3, 9.0, 0.0), (3, 4, 9.0, 1.0)])
    for packed in (rows, merge([rows] * FANOUT, 4)):
        assert [row[3] * 255 for row in unpack_rows(packed)] == pytest.approx([1, 254, 0, 255])
    read, written = (pack_rows([(0, 4, 1e6, share)]) for share in (0.0, 1.0))
    shares = {of: [row[3] * 255 for row in unpack_rows(merge([rows, of], 4))] for of in (read, written)}
    assert max(shares[read]) == pytest.approx(1)
    assert shares[read].count(0) == 1
    assert min(shares[written]) == pytest.approx(254)
    assert shares[written].count(255) == 1


@pytest.mark.parametrize(
    ("t0", "t1"), [(-1, 5), (5, 5), (6, 5), (0, 10**18 + 1)], ids=["before", "empty", "back", "long"]
)  # fmt: skip
def test_windows_come_in_order(tmp_path: Path, t0: int, t1: int) -> None:
    with TraceWriter(tmp_path / "t") as writer:
        space = writer.space("p", 10)
        _refused(lambda: writer.add(space, t0, t1, b""))
        writer.add(space, 10, 20, pack_rows([(0, 1, 1.0, 1.0)]))
        _refused(lambda: writer.add(space, 19, 30, b""))
        _refused(lambda: writer.close(19, []))
        _refused(lambda: writer.space("p", 0))
    assert os.listdir(tmp_path) == []


def _refused(what: Callable[[], object]) -> None:
    with refused(errno.EINVAL):
        what()


def _header(data: bytearray, **fields: int) -> None:
    names = ["magic", "format", "header", "begin", "length", "size"]
    values = dict(zip(names, HEADER.unpack_from(data), strict=True)) | fields
    HEADER.pack_into(data, 0, *(values[name] for name in names))


def _described(change: Callable[[dict[str, Any]], object]) -> Callable[[bytearray], None]:
    def damage(data: bytearray) -> None:
        begin = HEADER.unpack_from(data)[3]
        what = json.loads(data[begin:])
        change(what)
        data[begin:] = json.dumps(what).encode()
        _header(data, length=len(data) - begin, size=len(data))

    return damage


def _rows_at(data: bytearray) -> int:
    """The first row of the first window: behind the header and one sum."""
    return HEADER.size + 8


def _table(data: bytearray) -> int:
    what = json.loads(data[HEADER.unpack_from(data)[3] :])
    return int(what["spaces"][0]["levels"][0]["offset"])


def _put(at: Callable[[bytearray], int], value: bytes, by: int = 0) -> Callable[[bytearray], None]:
    def damage(data: bytearray) -> None:
        data[at(data) + by : at(data) + by + len(value)] = value

    return damage


NAN = b"\0\0\xc0\x7f"
DAMAGES: list[tuple[str, Callable[[bytearray], object], str]] = [
    ("short", lambda data: data.__delitem__(slice(30, None)), "bytes: are not a trace file"),
    ("cut", lambda data: data.__delitem__(slice(-1, None)), "bytes: are not the "),
    ("magic", lambda data: data.__setitem__(0, 1), "is not how a trace file begins"),
    ("later", lambda data: _header(data, format=2), "format: 2: is not known here"),
    ("description", lambda data: _header(data, begin=1 << 60), "are not at the file's end"),
    ("json", lambda data: data.__setitem__(-1, 0), "description: is not JSON"),
    ("fields", _described(lambda what: what.pop("loop")), "does not have the fields"),
    ("duration", _described(lambda what: what.update(duration_ns=1)), "is not over before the trace is"),
    ("no-number", _described(lambda what: what.update(duration_ns="1")), "is not a whole number"),
    ("loop", _described(lambda what: what.update(loop=1)), "is neither true nor false"),
    ("spaces", _described(lambda what: what.update(spaces={})), "is not a list"),
    ("no-space", _described(lambda what: what.update(spaces=[])), "areas[0].space: 0"),
    ("offset", _described(lambda what: what["spaces"][0]["levels"][0].update(offset=1 << 40)), "levels[0].offset"),
    ("odd", _described(lambda what: what["spaces"][0]["levels"][0].update(offset=68)), "is not a multiple of 8"),
    ("many", _described(lambda what: what["spaces"][0]["levels"][0].update(nr=1 << 20)), "levels[0].nr"),
    ("less", _described(lambda what: what["spaces"][0]["levels"].pop()), "end before a single window"),
    ("pages", _described(lambda what: what["spaces"][0].update(nr_pages=9)), "areas[0].nr_pages: 100"),
    ("name", _described(lambda what: what["areas"][0].update(name="a\nb")), "is not text of up to 64"),
    ("twice", _described(lambda what: what.update(areas=what["areas"] * 2)), "two have the same name"),
    ("kind", _described(lambda what: what["areas"][0].update(kind="shm")), "is neither anon nor file"),
    ("mapped", _described(lambda what: what["areas"][0].update(mapped=[[5, 4]])), "5: is not before 4"),
    ("order", _described(lambda what: what["areas"][0].update(mapped=[[5, 9], [7, 12]])), "is not in order"),
    ("nan", _put(_rows_at, NAN, 8), "levels[0]: window 0: is damaged"),
    ("negative", _put(_rows_at, b"\0\0\x80\xbf", 8), "window 0: is damaged"),
    ("outside", _put(_rows_at, b"\xff\xff\xff\x7f"), "window 0: is damaged"),
    ("sum", _put(lambda data: HEADER.size, b"\1"), "window 0: is damaged"),
    ("times", _put(_table, b"\xff" * 8), "window 0: is damaged"),
    ("data", _put(_table, b"\xf8\xff\xff\xff\xff\xff\xff\xff", 16), "window 0: is damaged"),
    ("number", _put(_table, b"\xff\xff\xff\xff", 32), "window 0: is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
def test_damage_is_found(tmp_path: Path, damage: Callable[[bytearray], object], message: str) -> None:
    data = bytearray(_small(tmp_path / "t").read_bytes())
    damage(data)
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        Trace(tmp_path / "t")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_of_a_big_file_are_not_checked_but_its_tables_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_COPIED", 0)
    data = bytearray(_small(tmp_path / "t").read_bytes())
    data[_rows_at(data) + 8 : _rows_at(data) + 12] = NAN
    (tmp_path / "t").write_bytes(data)
    assert not Trace(tmp_path / "t").copied
    data[_table(data) : _table(data) + 8] = b"\xff" * 8
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(InvalidInput, match="window 0: is damaged"):
        Trace(tmp_path / "t")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "none", Path("/dev/zero")):
        assert not is_trace(path)
        with pytest.raises(InvalidInput, match=r"trace: .*; give a file of `damon import`"):
            Trace(path)


# -- changes


def _changed(path: Path, change: Change) -> Trace:
    with TraceWriter(path.with_name("changed")) as writer:
        change_trace(Trace(path), writer, change)
    return Trace(path.with_name("changed"))


def test_nothing_to_change_changes_nothing(tmp_path: Path) -> None:
    path = _small(tmp_path / "t")
    assert _changed(path, Change()).description == Trace(path).description
    assert list(_changed(path, Change()).windows(0)) == list(Trace(path).windows(0))
    assert (tmp_path / "changed").read_bytes() == path.read_bytes()


def test_a_cut_and_slower_part(tmp_path: Path) -> None:
    """Of windows that are cut the part of their touches is left."""
    trace = _changed(_small(tmp_path / "t"), Change(MS // 2, 3 * MS, time_scale=2.0))
    assert trace.description.duration_ns == 5 * MS
    assert trace.description.areas[0].mapped == ((0, 5 * MS),)
    assert [(t0, t1, unpack_rows(rows)[0][:3]) for t0, t1, rows in trace.windows(0)] == [
        (0, MS, (0, 10, 0.25)),
        (MS, 3 * MS, (1, 11, 0.5)),
        (3 * MS, 5 * MS, (2, 12, 0.5)),
    ]


@pytest.mark.parametrize("change", [Change(5, 5), Change(0, 50 * MS + 1), Change(50 * MS), Change(time_scale=1e-9)])
def test_parts_that_there_are_not(tmp_path: Path, change: Change) -> None:
    _refused(lambda: _changed(_small(tmp_path / "t"), change))
    assert os.listdir(tmp_path) == ["t"]


@examples(30)
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.3, 0.9999, 1.5, 3.0, 7.7]))
def test_scaled_pages_have_what_the_page_that_they_stand_for_had(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float
) -> None:
    path = random_trace(tmp_path_factory.mktemp("t") / "t", seed, 5)
    before, after = Trace(path), _changed(path, Change(size_scale=scale))
    for old, new in zip(before.description.areas, after.description.areas, strict=True):
        assert new.nr_pages == max(scaled_page(old.nr_pages, scale), 1)
        rows = [unpack_rows(rows) for _, _, rows in before.windows(old.space)]
        scaled = {t0: unpack_rows(rows) for t0, _, rows in after.windows(new.space)}
        for (t0, _, _), window in zip(before.windows(old.space), rows, strict=True):
            for page in range(0, new.nr_pages, max(new.nr_pages // 50, 1)):
                was = old.first + min(int(page / scale), old.nr_pages - 1)
                expected = next((row[2] for row in window if row[0] <= was < row[1]), 0.0)
                now = next((row[2] for row in scaled.get(t0, []) if row[0] <= new.first + page < row[1]), 0.0)
                assert now == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 10**9), st.floats(0.001, 1000))
def test_the_first_scaled_page(at: int, scale: float) -> None:
    page = scaled_page(at, scale)
    assert int(page / scale) >= at or scale == 1.0
    assert not page or int((page - 1) / scale) < at


def test_anonymised_files_have_neither_names_nor_addresses(tmp_path: Path) -> None:
    areas = [
        TracedArea("secret.so", 0, 0, 60, "file", 0x7F1234567000, ((0, 9),)),
        TracedArea("[heap]", 0, 60, 40, "anon", 0x55AA55AA5000, ((0, 9),)),
    ]
    path = write(tmp_path / "t", [("payroll", 100, [Window(0, 9, [(0, 100, 1.0, 1.0)])])], areas, 9)
    trace = _changed(path, Change(anonymise=True))
    assert [(a.name, a.address) for a in trace.description.areas] == [("area-0", 0), ("area-1", 0)]
    assert trace.description.spaces[0].process == "process-0"
    content = trace.path.read_bytes()
    for word in (b"secret", b"heap", b"payroll", b"a test", *(a.address.to_bytes(8, "little")[1:6] for a in areas)):
        assert word in path.read_bytes() or len(word) == 5
        assert word not in content
    assert str(0x7F1234567000).encode() not in content


def _exact(path: Path) -> Path:
    """Pages 0 to 9 are accessed in the first window, 0 and 1 again in the fourth; of 20 to 29 the first two before they
    are mapped again. ``b`` has nothing after the first window."""
    areas = [
        TracedArea("kept", 0, 0, 10, mapped=((0, 8 * MS),)),
        TracedArea("gone", 0, 10, 10, mapped=((0, MS),)),
        TracedArea("again", 0, 20, 10, mapped=((0, MS), (2 * MS, 8 * MS))),
        TracedArea("idle", 1, 0, 4, mapped=((0, 8 * MS),)),
    ]
    windows = [
        Window(0, MS, [(0, 10, 5.0, 1.0), (12, 14, 1.0, 0.0), (20, 22, 1.0, 0.0)]),
        Window(2 * MS, 3 * MS, [(24, 25, 2.0, 0.0)]),
        Window(4 * MS, 5 * MS, [(0, 2, 3.0, 1.0), (5, 6, 2.0, 0.0), (29, 30, 2.0, 0.0)]),
        Window(5 * MS, 6 * MS, [(1, 2, 7.0, 0.0)]),
    ]
    spaces = [("a", 30, windows), ("b-2", 4, [Window(0, MS, [(1, 3, 1.0, 0.0)])])]
    return write(path, spaces, areas, 8 * MS, origin=TRUTH)


def test_what_was_there_before_a_cut_is_there_after_it(tmp_path: Path) -> None:
    """Of an exact capture: what was accessed since it was mapped has an access in the first window."""
    trace = _changed(_exact(tmp_path / "t"), Change(4 * MS))
    first, second = trace.windows(0)
    assert (first[:2], second) == ((0, MS), (MS, 2 * MS, pack_rows([(1, 2, 7.0, 0.0)])))
    # The area that is gone has no pages.
    assert unpack_rows(first[2]) == [
        (0, 2, 3.0, 1.0), (2, 5, 1.0, 0.0), (5, 6, 2.0, 0.0), (6, 10, 1.0, 0.0), (14, 15, 1.0, 0.0), (19, 20, 2.0, 0.0)
    ]  # fmt: skip
    assert list(trace.windows(1)) == [(0, 4 * MS, pack_rows([(1, 3, 1.0, 0.0)]))]
    late = _changed(tmp_path / "t", Change(3 * MS))
    assert [window[:2] for window in late.windows(0)] == [(0, MS), (MS, 2 * MS), (2 * MS, 3 * MS)]
    assert unpack_rows(next(late.windows(0))[2]) == [(0, 10, 1.0, 0.0), (14, 15, 1.0, 0.0)]
    data = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(data.replace(TRUTH.encode(), b"other"))
    assert [len(unpack_rows(rows)) for *_, rows in _changed(tmp_path / "t", Change(4 * MS)).windows(0)] == [3, 1]


def _before(trace: Trace, space: int, at: int) -> dict[str, set[int]]:
    """Pages of each area, from its first one on, that were accessed before ``at`` and are mapped since."""
    found: dict[str, set[int]] = {}
    for area in trace.description.areas:
        since = [begin for begin, end in area.mapped if begin < at < end]
        if area.space == space and since:
            found[area.name] = {
                page - area.first
                for t0, t1, rows in trace.windows(space)
                if t0 < at and t1 > since[0]
                for low, high, *_ in unpack_rows(rows)
                for page in range(max(low, area.first), min(high, area.first + area.nr_pages))
            }
    return found


@examples(60)
@given(st.integers(0, 2**32), st.floats(0.01, 0.99), st.sampled_from([TRUTH, "a test"]))
def test_any_part_of_a_trace(tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, origin: str) -> None:
    """It can be read; areas that are not mapped in it, and their pages, are left out."""
    path = random_trace(tmp_path_factory.mktemp("t") / "t", seed, 20, origin)
    before = Trace(path)
    at = max(int(before.description.duration_ns * share), 1)
    if not any(end > at for area in before.description.areas for _, end in area.mapped):
        return
    after = _changed(path, Change(at))
    old = {space.process: number for number, space in enumerate(before.description.spaces)}
    for number, space in enumerate(after.description.spaces):
        there = _before(before, old[space.process], at)
        areas = [area for area in after.description.areas if area.space == number]
        pages = {area.first + page for area in areas for page in there.get(area.name, ())}
        if pages and origin == TRUTH:
            t0, _, rows = next(after.windows(number))
            assert t0 == 0
            assert pages <= {page for low, high, *_ in unpack_rows(rows) for page in range(low, high)}


@pytest.mark.parametrize(("name", "kept"), [("a", ["a"]), ("b", ["b-2"]), ("b-2", ["b-2"])])
def test_one_process_of_a_trace(tmp_path: Path, name: str, kept: list[str]) -> None:
    trace = _changed(_exact(tmp_path / "t"), Change(process=name))
    assert [space.process for space in trace.description.spaces] == kept
    assert {area.space for area in trace.description.areas} == {0}
    for other in ("c", "b-", "-2", "2"):
        _refused(lambda name=other: _changed(tmp_path / "t", Change(process=name)))  # type: ignore[misc]


def test_loop_is_kept_or_set(tmp_path: Path) -> None:
    path = _small(tmp_path / "t")
    assert _changed(path, Change(loop=True)).description.loop
    assert not _changed(path, Change()).description.loop
