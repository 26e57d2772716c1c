# SPDX-License-Identifier: GPL-2.0-only
"""Many jobs at once with a stand-in for the guest: never more than fits, no job lost, in order, ended when asked."""

from __future__ import annotations

import _thread
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.vmtest.suite_fakes import Heard, job, outcome
from tests.waiting import HANG_S
from vmtest.config import GuestConfig
from vmtest.errors import InvalidInput
from vmtest.qemu.command_line import OVERHEAD_BYTES
from vmtest.results import manifest
from vmtest.results.job import Job
from vmtest.results.outcome import Outcome
from vmtest.sizes import MIB
from vmtest.suite import pool
from vmtest.suite.admission import RESERVE_BYTES, Admission
from vmtest.suite.perform import Stopped, Watch

NEED = 256 * MIB + OVERHEAD_BYTES


class Host:
    """Memory of a host on which guests grow while they run."""

    def __init__(self, memory: int) -> None:
        self.free = memory
        self.resident = 0

    def admission(self, most: int | None, cpus: int = 64) -> Admission:
        return Admission(most, available=lambda: self.free, resident=lambda: self.resident, cpus=cpus)


def _config(memory: int = 256, cpus: int = 1) -> GuestConfig:
    return GuestConfig(memory=memory * MIB, cpus=cpus)


@given(
    st.integers(512, 8192),
    st.lists(st.tuples(st.sampled_from([128, 256, 512, 1024]), st.floats(0, 1)), min_size=1, max_size=20),
)
@settings(max_examples=100)
def test_memory_is_never_promised_twice(total: int, guests: list[tuple[int, float]]) -> None:
    """Whatever part of its memory each guest has touched by now, all promises together fit."""
    host = Host(total * MIB)
    admission = host.admission(None)
    promised = 0
    for memory, touched in guests:
        config = _config(memory)
        if admission.admit(config):
            promised += admission.need(config)
            grown = int(admission.need(config) * touched)
            host.resident += grown
            host.free -= grown
        assert promised <= total * MIB - RESERVE_BYTES


def test_what_was_promised_comes_back() -> None:
    admission = Host(RESERVE_BYTES + NEED).admission(None)
    assert admission.admit(_config())
    assert not admission.admit(_config())
    assert admission.hopeless(_config()) == "", "it will fit once the other is gone"
    admission.release(_config())
    assert admission.admit(_config())


def test_other_programs_memory_counts() -> None:
    host = Host(RESERVE_BYTES + 3 * NEED)
    admission = host.admission(None)
    assert admission.admit(_config())
    host.free -= NEED  # another program
    assert admission.admit(_config())
    assert not admission.admit(_config())


@pytest.mark.parametrize(("most", "cpus", "fit"), [(None, 2, 2), (None, 8, 8), (3, 2, 3), (1, 8, 1)])
def test_processors_decide_unless_a_number_is_given(most: int | None, cpus: int, fit: int) -> None:
    admission = Host(1 << 40).admission(most, cpus)
    assert sum(admission.admit(_config()) for _ in range(20)) == fit


def test_a_guest_with_more_processors_than_the_host_runs_alone() -> None:
    admission = Host(1 << 40).admission(None, 2)
    assert admission.admit(_config(cpus=4))
    assert not admission.admit(_config(cpus=1))


def test_all_jobs_end_once_in_order_and_never_too_many_at_once(tmp_path: Path) -> None:
    jobs = [job(tmp_path, f"t{number:02}") for number in range(20)]
    heard, running, most = Heard(), 0, 0
    guard, three = threading.Lock(), threading.Barrier(3, timeout=HANG_S)

    def performer(one: Job, directory: Path, watch: Watch) -> Outcome:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        watch.phase("boot")
        if one.test_name in {"t00", "t01", "t02"}:
            three.wait()
        with guard:
            running -= 1
        if one.test_name == "t05":
            raise ZeroDivisionError("a defect of the harness")
        return outcome(one.test_name, "fail" if one.test_name == "t07" else "pass")

    admission = Host(1 << 40).admission(3)
    results, interrupted = pool.run(jobs, tmp_path / "r", heard, admission=admission, performer=performer)
    assert [result.test for result in results] == [one.test_name for one in jobs]
    assert sorted(heard.ended) == sorted(heard.began) == [one.test_name for one in jobs]
    assert heard.began == [one.test_name for one in jobs]
    assert most == 3
    assert not interrupted
    assert {result.test: result.verdict for result in results if result.verdict != "pass"} == {
        "t05": "harness-error",
        "t07": "fail",
    }


def test_a_job_that_never_fits_costs_no_other(tmp_path: Path) -> None:
    big = job(tmp_path, "big", machine_args={"memory": "64G", "cpus": 1})
    jobs = [job(tmp_path, "a"), big, job(tmp_path, "b")]
    admission = Host(RESERVE_BYTES + 2 * NEED).admission(2)
    results, _ = pool.run(
        jobs,
        tmp_path,
        Heard(),
        admission=admission,
        performer=lambda one, *_: outcome(one.test_name, "pass"),
        patience=0.2,
    )
    assert [result.verdict for result in results] == ["pass", "machine-lacks", "pass"]
    assert "64G" in results[1].message
    assert "give the machine less" in results[1].message


def test_ctrl_c_ends_what_runs_and_tells_what_did_not(tmp_path: Path) -> None:
    jobs = [job(tmp_path, name) for name in ("done", "runs", "never")]

    def performer(one: Job, directory: Path, watch: Watch) -> Outcome:
        if one.test_name == "runs":
            threading.Timer(0.2, _thread.interrupt_main).start()
            try:
                while True:
                    watch.phase("command")
                    time.sleep(0.01)
            except Stopped:
                return one.outcome("not-run", "the run was ended before")
        return outcome(one.test_name, "pass")

    results, interrupted = pool.run(jobs, tmp_path, Heard(), admission=Host(1 << 40).admission(1), performer=performer)
    assert interrupted
    assert [result.verdict for result in results] == ["pass", "not-run", "not-run"]


def test_the_files_of_a_manifest_must_be_what_they_were(tmp_path: Path) -> None:
    one = job(tmp_path)
    one = replace(one, kernel=manifest.file_ref(tmp_path / "bzImage"), rootfs=manifest.file_ref(tmp_path / "root"))
    written = manifest.Manifest(job=one, outcome=outcome("t", "pass"))
    manifest.write(written, tmp_path)
    assert manifest.read(tmp_path) == written
    manifest.check_files(one)
    (tmp_path / "bzImage").write_text("another kernel")
    with pytest.raises(InvalidInput, match="is not what it was"):
        manifest.check_files(one)
    (tmp_path / "bzImage").unlink()
    with pytest.raises(InvalidInput, match="is gone"):
        manifest.check_files(one)


def test_a_manifest_of_another_version(tmp_path: Path) -> None:
    """A field with its default is ignored; one that is set and unknown is refused."""
    assert job(tmp_path, machine_args={"memory": "256M", "gone": None}).config.memory == "256M"
    with pytest.raises(InvalidInput, match="machine value: 'gone': is of another version"):
        _ = job(tmp_path, machine_args={"memory": "256M", "gone": 3}).config
