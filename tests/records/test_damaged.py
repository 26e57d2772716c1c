# SPDX-License-Identifier: GPL-2.0-only
"""Files of records that are damaged, of another program or made to do harm: each is refused in one line."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from damon.cli.main import main
from damon.errors import InvalidInput
from damon.records import convert, heatmap, read, store
from damon.records.convert import CONVERTERS, regroup
from damon.records.form import HEAD_END, Key
from damon.records.store import TooMuch, read_zlib, split_lines
from tests.changed import GONE, changed

HEAD = f'{{"kdamond_idx": 0, "intervals": {{"sample_us": "5000", "aggr_us": "100000"}}, "target_id": 0, {HEAD_END}'
REGION: dict[str, Any] = {
    "start": "4,096", "end": "8,192", "nr_accesses": {"samples": 7}, "age": {"aggr_intervals": "12"}
}  # fmt: skip
SNAPSHOT: dict[str, Any] = {"start_time": "0", "end_time": "100000000", "regions": [REGION]}


def _text(*snapshots: Any, head: str = HEAD, end: str = "\n]}\n]\n") -> bytes:
    lines = ",\n".join(one if isinstance(one, str) else json.dumps(one) for one in snapshots)
    return f"[\n{head}\n{lines}{end}".encode()


#: Field of a snapshot, what is there instead, and what is said.
WRONG: list[tuple[str, Any, str]] = [
    ("start_time", GONE, "missing required field `start_time`"),
    ("end_time", None, "got `null`"),
    ("start_time", "soon", "start_time: 'soon': is not a number from"),
    ("start_time", "9" * 5000, "start_time: '999"),
    ("end_time", 1 << 63, "end_time: 9223372036854775808: is not a number from 0 to 9223372036854775807"),
    ("end_time", "-5", "end_time: '-5': is not a number from 0"),
    ("start_time", "200000000", "end_time: 100000000: lies before start_time, 200000000"),
    ("start_time", [], "got `array`"),
    ("start_time", True, "got `bool`"),
    ("regions", GONE, "missing required field `regions`"),
    ("regions", {}, "Expected `array`, got `object`"),
    ("regions.0", [], "Expected `object`, got `array` - at `$.regions[0]`"),
    ("regions.0.start", GONE, "missing required field `start`"),
    ("regions.0.start", "0x1000", "regions[0].start: '0x1000': is not a number"),
    ("regions.0.start", "\u0664\u0660", "regions[0].start: '\u0664\u0660': is not a number"),
    ("regions.0.start", 1.5e300, "regions[0].start: 1.5e+300: is not a number"),
    ("regions.0.start", "8,192", "regions[0].end: 8192: is not above its start, 8192"),
    ("regions.0.end", (1 << 64) + 1, "regions[0].end: 18446744073709551617: is not a number from 0 to"),
    ("regions.0.nr_accesses", 7, "Expected `object`, got `int`"),
    ("regions.0.nr_accesses.samples", None, "got `null`"),
    ("regions.0.nr_accesses.samples", -1, "regions[0].nr_accesses.samples: -1: is not a number"),
    ("regions.0.age", "12", "Expected `object`, got `str`"),
    ("regions.0.age.aggr_intervals", "old", "regions[0].age.aggr_intervals: 'old': is not a number"),
    ("regions.0.probe_hits", [[]], "got `array`"),
    ("regions.0.probe_hits", ["x"], "regions[0].probe_hits: 'x': is not a number"),
    ("regions", [REGION, REGION], "regions[1].start: 4096: lies before the end of the region before it, 8192"),
]

HEADS: list[tuple[str, str]] = [
    (HEAD.replace('"target_id": 0, ', ""), "missing required field `target_id`"),
    (HEAD.replace('"target_id": 0', '"target_id": "x"'), "target_id: 'x': is not a number"),
    (HEAD.replace('"target_id": 0', '"target_id": []'), "got `array`"),
    (HEAD.replace('"target_id": 0', f'"target_id": {"9" * 5000}'), "out of range"),
    (HEAD.replace('"kdamond_idx": 0', '"kdamond_idx": -1'), "kdamond_idx: -1: is not a number"),
    (HEAD.replace('"5000"', '"5 parsecs"'), "intervals.sample_us: '5 parsecs': is not a time, e.g. 100 ms"),
    (HEAD.replace('"5000"', '"5 ms 3"'), "intervals.sample_us: '5 ms 3': is not a time"),
    (HEAD.replace('"5000"', '"99999999999999999999 h"'), "intervals.sample_us: 3.6e+29: is not a number"),
    (HEAD.replace('"5000"', "1e999"), "out of range"),
    (HEAD.replace("{", "[", 1), "Expected `object`, got `array`"),
    ('{"a": ' + "[" * 100000 + HEAD_END, "JSON is nested too deeply"),
]

#: Whole files, and what is said.
FILES: list[tuple[bytes, str]] = [
    (b"", "is empty: nothing was recorded"),
    (b"hello", "holds no records"),
    (b"\x7fELF", "holds no records"),
    (b"[", "truncated"),
    (b"[1, 2]", "Expected `object`, got `int`"),
    (b'{"a": 1}', "holds no records"),
    (b'[{"target_id": 1}]', "missing required field `snapshots`"),
    (b"[" * 100000, "Expected `object`, got `array`"),
    (b'[{"a":' * 50000, "JSON is nested too deeply"),
    (b"[\xff]", "damaged or ends too early"),
    (zlib.compress(b"\xff" * 10), "damaged or ends too early"),
    (zlib.compress(b"[" * 100000), "Expected `object`, got `array`"),
    (zlib.compress(b"[\n" + b" " * (80 << 20)), "MiB of text in"),
    (b"\x78\x9c" + b"\xff" * 100, "damaged or ends too early"),
    (b"k 1 [0] 1.0: damon_aggregated: target_id=99999999999 nr_regions=1 0-1: 0 0\n",
     "target_id: '99999999999': is above"),
    (b"k 1 [0] 1.0: damon_aggregated: target_id=0 nr_regions=1 5-5: 0 0\n", "end: 5: is not above its start, 5"),
    (b"k 1 [0] 99999999999.0: damon_aggregated: target_id=0 nr_regions=1 0-5: 0 0\n",
     "time: '99999999999000000000': is above"),
    (b"k 1 [0] 1.0: damon_aggregated: target_id=0 nr_regions=2 0-5: 0 0\n", "1 snapshots lack lines"),
]  # fmt: skip


def _one_line(path: Path, capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The error line of ``damon report`` for the file."""
    for words in ([], ["--json"]):
        assert main(["report", str(path), *words]) == code
        said = capsys.readouterr().err
    assert re.fullmatch(r"damon: [^\n]*\n", said), said
    assert len(said) < 600
    assert str(path) in said
    return said


@pytest.mark.parametrize(("field", "value", "message"), WRONG)
@pytest.mark.parametrize("packed", [False, True])
def test_a_wrong_snapshot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, value: Any, message: str, packed: bool
) -> None:
    path = tmp_path / "damon.data"
    for before, code in ((0, 2), (2, 1)):
        text = _text(*[SNAPSHOT] * before, changed(SNAPSHOT, field, value), SNAPSHOT)
        path.write_bytes(zlib.compress(text) if packed else text)
        said = _one_line(path, capsys, code)
        assert message in said
        assert said.endswith(
            "; this is what came before\n" if before else "; give a file of `damon record` or `damo record` (EINVAL)\n"
        )
        assert (f"{path}: snapshot {before + 1}: " in said) == bool(before)


@pytest.mark.parametrize(("head", "message"), HEADS)
def test_a_wrong_head(tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str, message: str) -> None:
    path = tmp_path / "damon.data"
    path.write_bytes(_text(SNAPSHOT, head=head))
    assert message in _one_line(path, capsys, 2)
    path.write_bytes(_text(SNAPSHOT, SNAPSHOT, end=f"\n]}},\n{head}\n{json.dumps(SNAPSHOT)}\n]}}\n]\n"))
    assert f"{path}: snapshot 3: " in _one_line(path, capsys, 1)


@pytest.mark.parametrize(("content", "message"), FILES, ids=range(len(FILES)))
def test_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str) -> None:
    path = tmp_path / "damon.data"
    path.write_bytes(content)
    assert message in _one_line(path, capsys, 2)


@pytest.mark.parametrize("end", ["", "\n", "\n]}", '\n{"start', ",\n]}\n]\nmore"])
def test_a_missing_end_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str) -> None:
    path = tmp_path / "damon.data"
    path.write_bytes(_text(SNAPSHOT, end=end))
    assert f"{path}: snapshot 2: " in _one_line(path, capsys, 1)


def test_limits_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "damon.data"
    heads = [HEAD.replace('"target_id": 0', f'"target_id": {number}') for number in range(5)]
    records = [f"{head}\n{json.dumps(SNAPSHOT)}\n]}}" for head in heads]
    path.write_text("[\n" + ",\n".join(records) + "\n]\n")
    assert len(list(read.read(path))) == 5
    monkeypatch.setattr(read, "MAX_TARGETS", 3)
    with pytest.raises(read.Damaged, match="snapshot 4: more than 3 targets"):
        list(read.read(path))
    monkeypatch.setattr(read, "MAX_SNAPSHOTS", 2)
    with pytest.raises(read.Damaged, match="snapshot 3: more than 3 targets or 2 snapshots"):
        list(read.read(path))
    monkeypatch.setattr(read, "MAX_WHOLE", 1 << 20)
    path.write_text("[ " + " " * (1 << 20) + "]")
    with pytest.raises(InvalidInput, match="has more than 1 MiB of text that is not a recording"):
        list(read.read(path))


def test_lines_are_split_in_proportion_to_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"a\n\nbc" + b"x" * 70 + b"\nd"
    for size in (1, 2, 3, 7, 200):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert list(split_lines(pieces)) == text.decode().split("\n")
    assert list(split_lines([b"a\n"])) == ["a"]
    monkeypatch.setattr(store, "MAX_LINE", 100)
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 10
            yield b"x" * 10

    with pytest.raises(TooMuch, match="a line of more than 100 bytes"):
        list(split_lines(endless()))
    assert taken == 110


def test_a_bomb_is_left_before_it_fills_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_FREE_TEXT", 1 << 20)
    (tmp_path / "bomb").write_bytes(zlib.compress(bytes(100 << 20)))
    pieces: list[int] = []
    with pytest.raises(TooMuch, match="made to fill memory"):
        pieces.extend(map(len, read_zlib(tmp_path / "bomb")))
    assert sum(pieces) <= 500 * (tmp_path / "bomb").stat().st_size


@pytest.mark.parametrize("convert_it", [regroup, *CONVERTERS.values()])
def test_a_recording_that_was_changed_meanwhile_is_not_converted(tmp_path: Path, convert_it: Any) -> None:
    path = tmp_path / "damon.data"
    for text, cut in (
        (_text(SNAPSHOT, head=HEADS[0][0]), None),
        (_text(SNAPSHOT), -20),
        (_text(changed(SNAPSHOT, "regions.0.start", "x")), None),
    ):
        data = zlib.compress(text)[:cut]
        path.write_bytes(data)
        try:
            convert_it(path)
        except InvalidInput as error:
            assert re.fullmatch(rf"{path}: [^\n]*: the recording was changed; record again \(EINVAL\)", str(error))
            assert path.read_bytes() == data
        assert [entry.name for entry in tmp_path.iterdir()] == ["damon.data"]


def test_a_file_that_changes_while_it_is_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read twice; a recording may go on, or another may take its place."""
    path = tmp_path / "damon.data"
    path.write_bytes(_text(SNAPSHOT))
    whole, passes = heatmap._whole, 0
    other = [
        (read.Record(Key(0, 9), None, None), read.Snapshot(0, 1, ())),
        (
            read.Record(Key(0, 0), None, None),
            read.Snapshot(0, 1, ((0, 4096, 1, 1, ()), (1 << 40, 1 << 41, 1, 1, ()))),
        ),
    ]

    def changing(*words: Any) -> Any:
        nonlocal passes
        passes += 1
        return whole(*words) if passes % 2 else iter(other[passes // 4 :])

    monkeypatch.setattr(heatmap, "_whole", changing)
    for _ in range(2):
        (summary,) = heatmap.report(path, 2, 4).targets
        assert [(area.start, area.end) for area in summary.areas] == [(4096, 8192)]


def test_many_pieces_of_address_space_are_joined_to_some(tmp_path: Path) -> None:
    regions = [{**REGION, "start": n << 30, "end": (n << 30) + 4096} for n in range(1, 5001)]
    path = tmp_path / "damon.data"
    path.write_bytes(_text({**SNAPSHOT, "regions": regions}))
    (summary,) = heatmap.report(path, 2, 4).targets
    assert len(summary.areas) <= 1000
    assert (summary.areas[0].start, summary.areas[-1].end) == (1 << 30, (5000 << 30) + 4096)


def test_ranges_that_never_come_again_are_merged_now_and_then() -> None:
    union = heatmap.Union()
    for number in range(3000):
        union.add([(number * 10, number * 10 + 5)])
        union.add([(number * 10 + 5, number * 10 + 7)])
    assert union.whole() == [(number * 10, number * 10 + 7) for number in range(3000)]
    assert convert.regroup is regroup
