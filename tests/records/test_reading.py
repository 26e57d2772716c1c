# SPDX-License-Identifier: GPL-2.0-only
"""Files of other programs, files that are not recordings, and what a report sums up."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from damon.core import Damon
from damon.core.regions import kdamond_reset_aggregated
from damon.errors import InvalidInput
from damon.model.target import DamonTarget
from damon.records import heatmap
from damon.records.form import Key
from damon.records.read import Damaged, Item, read
from damon.records.recorder import Recorder
from tests.contexts import selected
from tests.fakes import FakeMachine, regions_of

DAMO_WRITTEN = [
    {
        "kdamond_idx": 0, "context_idx": 0, "scheme_idx": None, "target_id": 4, "scheme_filters": [],
        "intervals": {"sample_us": "5 ms", "aggr_us": "100 ms", "ops_update_us": "1 s"},
        "snapshots": [
            {
                "start_time": "100", "end_time": "2,000", "total_bytes": "8 KiB", "damos_stats": None,
                "regions": [
                    {
                        "start": "4,096", "end": "8,192", "nr_accesses": {"samples": 7, "percent": None},
                        "age": {"usec": None, "aggr_intervals": "12"}, "sz_filter_passed": "0 B",
                    }
                ],
            }
        ],
    }
]  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_damos_own_files(tmp_path: Path, packed: bool) -> None:
    text = json.dumps(DAMO_WRITTEN, indent=4).encode()
    (tmp_path / "file").write_bytes(zlib.compress(text) if packed else text)
    ((record, snapshot),) = list(read(tmp_path / "file"))
    assert record.key == Key(0, 4)
    assert (record.sample_us, record.aggr_us) == (5000, 100_000)
    assert (snapshot.start_ns, snapshot.end_ns) == (100, 2000)
    assert snapshot.rows == ((4096, 8192, 7, 12, ()),)


def test_text_of_perf_script(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(
        "kdamond.0  4452 [000] 82877.315633: damon:damon_aggregated: target_id=0 nr_regions=2 4096-8192: 0 3\n"
        "kdamond.0  4452 [000] 82877.315634: damon:damon_aggregated: target_id=0 nr_regions=2 8192-9000: 5 4\n"
        "# lost 3 events\n"
        "kdamond.0  4452 [000] 82877.415634: damon:damon_monitor_intervals_tune: sample_us=80000\n"
        "kdamond.0  4452 [000] 82877.415633: damon:damon_aggregated: target_id=0 nr_regions=1 4096-9000: 1 0\n"
        "kdamond.0  4452 [000] 82877.515633: damon:damon_aggregated: target_id=0 nr_regions=2 4096-90"
    )
    items: list[Item] = []
    with pytest.raises(Damaged, match="snapshot 3: 1 snapshots lack lines and are left out"):
        items.extend(read(tmp_path / "file"))
    assert [(s.start_ns, s.end_ns, len(s.rows)) for _, s in items] == [
        (None, 82877_315634_000, 2),
        (82877_315634_000, 82877_415633_000, 1),
    ]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x7fELF", b"[1, 2]", b'{"a": 1}', b'[{"target_id": 1}]'])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"/file: .*; give a file of `damon record`"):
        list(read(tmp_path / "file"))


def test_heatmap_of_known_accesses(tmp_path: Path) -> None:
    damon = Damon(FakeMachine())
    ctx = selected(damon)
    far = 1 << 40
    path = tmp_path / "damon.data"
    recorder = Recorder(damon, path)
    for step in range(10):
        damon.machine.clock.sleep_us(100_000)
        hot = 20 if step < 5 else 0
        ctx.targets = [DamonTarget(regions=regions_of((0, 4096, hot), (4096, 16384, 10), (far, far + 16384, 20 - hot)))]
        kdamond_reset_aggregated(ctx)
    recorder.finish()
    (summary,) = heatmap.report(path, rows=2, columns=8).targets
    assert [(area.start, area.end) for area in summary.areas] == [(0, 16384), (far, far + 16384)]
    assert summary.areas[0].heat == [[100, 50, 50, 50], [0, 50, 50, 50]]
    assert summary.areas[1].heat == [[0] * 4, [100] * 4]
    assert (summary.start_ns, summary.end_ns) == (0, 1_000_000_000)
    assert summary.percentiles(summary.wss) == [16384, 16384, 16384, 28672, 28672]
    assert summary.percentiles(summary.nr_regions) == [3] * 5
    (finer,) = heatmap.report(path, rows=2, columns=5).targets
    assert finer.areas[0].heat[0] == pytest.approx([75, 50])
    shown = heatmap.as_object(path, heatmap.report(path, 2, 8))
    assert json.loads(json.dumps(shown))["targets"][0]["areas"][0]["heat_percent"] == [
        [100, 50, 50, 50],
        [0, 50, 50, 50],
    ]


def test_blank_where_nothing_was_monitored(tmp_path: Path) -> None:
    damon = Damon(FakeMachine())
    ctx = selected(damon)
    recorder = Recorder(damon, tmp_path / "damon.data")
    for end in (8192, 16384):
        damon.machine.clock.sleep_us(100_000)
        ctx.targets = [DamonTarget(regions=regions_of((0, end, 20)))]
        kdamond_reset_aggregated(ctx)
    recorder.finish()
    (summary,) = heatmap.report(tmp_path / "damon.data", 9, 4).targets
    assert summary.areas[0].heat == [[100, 100, None, None], [100] * 4]
