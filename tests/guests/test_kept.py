# SPDX-License-Identifier: GPL-2.0-only
"""Results of guests that are kept: found again, torn, foreign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from damon.errors import InvalidInput
from damon.guests.engine import GuestEngine
from damon.guests.job import Job
from damon.guests.kept import Kept, key
from tests.guests.standin import output
from vmtest import GuestConfig


@pytest.fixture
def job(tmp_path: Path) -> Job:
    workload = tmp_path / "w.yaml"
    workload.write_text("areas: {}\n")
    return Job(GuestEngine("pydamon"), GuestConfig(), workload, 0, ["--module", "damon_reclaim"], 3.0, 7)


def test_a_result_is_found_again(job: Job, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k")
    assert kept.get(job) is None
    kept.add(job, output() | {"guest": {"kernel": "page-idle"}})
    again = Kept(tmp_path / "k")
    assert again.get(job) == output()
    for other in (replace(job, seed=8), replace(job, words=["--module", "damon_stat"]), replace(job, seconds=4.0)):
        assert again.get(other) is None
    job.workload.write_text("areas: {a: {size: 4096}}\n")
    assert again.get(job) is None


def test_a_torn_line_is_left_out_and_written_over(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "k"
    Kept(path).add(job, output())
    whole = path.read_bytes()
    for cut in (len(whole) - 1, whole.index(b"\n") + 5, 7):
        path.write_bytes(whole[:cut])
        assert Kept(path).get(job) is None
        Kept(path).add(job, output())
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"areas: {}\n", "line 1 is not a result"),
        (b"areas", "line 1 is that of another file"),
        (b'{"format": 1, "what": "damon study results"}\n', "that of another file"),
        (b'{"format": 2, "what": "damon guest results"}\n', "line 1"),
        (b'{"format": 1, "what": "damon guest results"}\n{"key": "a", "result": {}}\n', "line 2 is not a result"),
        (b'{"format": 1, "what": "damon guest results"}\n{"key": 1}\n', "line 2 is not a result"),
    ],
)
def test_foreign_files_are_refused_and_stay(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "k"
    path.write_bytes(text)
    with pytest.raises(InvalidInput, match=said):
        Kept(path)
    assert path.read_bytes() == text
    with pytest.raises(InvalidInput, match="give another place"):
        Kept(tmp_path / "no" / "k")


def test_keys_are_of_what_decides_a_run(job: Job) -> None:
    assert key(job) == key(replace(job, config=GuestConfig(cpus=1)))
    assert key(job) != key(replace(job, engine=GuestEngine("pydamon", "stock")))
