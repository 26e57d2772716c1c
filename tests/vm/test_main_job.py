# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim, lru_sort and vaddr on real page tables: cold leaves and hot stays, by the kernel's accounts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.vm.job import ACCURACY, COUNTED, HOT_COLD, PYTHON, RunningWorkload, damon_run, pause, share, workload
from tests.waiting import HANG_S
from vmtest import Guest
from vmtest.ssh.process import Process

pytestmark = pytest.mark.guest(memory="1G", swap="zram:768M", **COUNTED)

Boot = Callable[[], Guest]  # whose free memory is not fragmented yet
Areas = dict[str, dict[str, int]]
#: The guest is mostly empty: with their watermarks both modules would sleep. An emulated processor is so slow that in
#: 10 ms a second the kernel's own scheme pages out 14 MB in 40 s; so the quota is one of size, for either side.
AWAKE = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "quota_ms=0", "max_nr_regions=200")
#: Regions of at most a fiftieth of the memory: a larger one may hold cold memory beside some that is hot, and where the
#: noise of other programs takes most of the 200, it is not split for minutes.
SMALL = "min_nr_regions=50"
#: Where nearly all of the cold area is to leave: smaller ones still, and as many samples in half as many aggregations,
#: of which an emulated processor makes one or two a second.
SMALLER = ("min_nr_regions=100", "sample_interval=10000", "aggr_interval=200000")
#: damon_lru_sort wants accesses in half of the samples: each hot page is touched every 20 ms.
SWEEPS = ("sample_interval=20000", "aggr_interval=400000")
#: Seconds between looks, by the guest's clock, as everything here.
LOOK_S = 2
SECONDS = 90
TABLE_S = 40
RECLAIM = ("damon_reclaim", "quota_sz=536870912", *AWAKE)


def _say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(text, flush=True)


@dataclass(frozen=True)
class Job:
    """One run of the workload beside a DAMON: the module's words, or those of the program for the kernel's own."""

    name: str
    words: Sequence[str]
    own: bool  #: ours

    def run(self, guest: Guest) -> float:
        """The worker's CPU seconds."""
        if self.own:
            guest.run(damon_run(self.words, duration=TABLE_S), timeout=2 * HANG_S).check()
            timing = json.loads(guest.run(["cat", "/tmp/run.json"]).text)["timing"]
            return float(timing["kdamond_cpu_seconds"][self.words[0]])
        words = [PYTHON, "-m", "tests.vm.guest.kernel_work", str(TABLE_S), *self.words]
        return float(json.loads(guest.run(words, timeout=2 * HANG_S).check().text)["cpu_seconds"])


def _worked(boot_guest: Boot, job: Job, *, sorting: bool) -> tuple[Areas, Areas, float]:
    """One run in a guest of its own: the areas' pages before and after it, and its CPU time."""
    guest = boot_guest()
    with workload(guest, HOT_COLD) as running:
        pause(guest, 2)
        if sorting:
            guest.run([PYTHON, "-m", "tests.vm.guest.activate", str(running.pid), running.span("cold")]).check()
        began = running.pages(lists=sorting)
        cpu = job.run(guest)
        pages = running.pages(lists=sorting)
    guest.close()
    return began, pages, cpu


@pytest.mark.long
def test_reclaim_beside_the_kernels_own_damon(boot_guest: Boot, capsys: pytest.CaptureFixture[str]) -> None:
    """The same workload, pattern and quota; ours reclaims within 10 % of the kernel's scheme."""
    module = [*RECLAIM, SMALL, "min_age=2000000"]
    jobs = [Job("kernel, pageout scheme on paddr", ["scheme", "2000000"], False),
            Job("kernel, damon_reclaim", module, False),
            Job("pydamon, damon_reclaim", module, True)]  # fmt: skip
    _say(capsys, f"\n  {f'hot-cold, {TABLE_S} s, min_age 2 s':<34}{'reclaimed':>12}{'hot kept':>10}{'kdamond CPU':>13}")
    reclaimed = []
    for job in jobs:
        began, pages, cpu = _worked(boot_guest, job, sorting=False)
        reclaimed.append((began["cold"]["present"] - pages["cold"]["present"]) * 4096)
        kept = share(pages["hot"], "present")
        _say(capsys, f"  {job.name:<34}{f'{reclaimed[-1] / 2**20:.1f} MiB':>12}{kept:>10.1%}{cpu:>11.2f} s")
    assert kept >= 0.95
    assert reclaimed[0] > 0.8 * 224 * 2**20
    assert reclaimed[-1] == pytest.approx(reclaimed[0], rel=0.10)


@pytest.mark.long
def test_lru_sort_beside_the_kernels_own_damon(boot_guest: Boot, capsys: pytest.CaptureFixture[str]) -> None:
    """The same module with the same parameters; the cold area was active at first, the hot one was not."""
    module = ["damon_lru_sort", "cold_min_age=2000000", SMALL, *AWAKE, *SWEEPS]
    jobs = [Job("kernel, damon_lru_sort", module, False), Job("pydamon, damon_lru_sort", module, True)]
    _say(capsys, f"\n  {f'hot-cold, {TABLE_S} s, cold after 2 s':<34}{'hot active':>12}{'cold inactive':>15}"
                 f"{'kdamond CPU':>13}")  # fmt: skip
    for job in jobs:
        _, pages, cpu = _worked(boot_guest, job, sorting=True)
        hot, cold = share(pages["hot"], "active"), share(pages["cold"], "inactive")
        _say(capsys, f"  {job.name:<34}{hot:>12.1%}{cold:>15.1%}{cpu:>11.2f} s")
    assert hot >= 0.9
    assert cold >= 0.9


def _see(guest: Guest, watchers: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Size-weighted access ratio by ours and others: of ours hot is within 10 % of the truth, cold at most 0.05."""
    with workload(guest, ACCURACY) as running:
        spans = [f"{name}={running.span(name)}" for name in running.areas]
        words = [PYTHON, "-m", "tests.vm.guest.compare_vaddr", ",".join(watchers), str(running.pid), "8", *spans]
        result = json.loads(guest.run(words, timeout=2 * HANG_S).check().text)
        truths = {who: running.truth(*row["window"]) for who, row in result.items()}
    head = [word for who in result for word in ("truth", who)]
    _say(capsys, f"\n  {'access ratio':<12}" + "".join(f"{name:>12}" for name in head))
    for name in running.areas:
        shares = [share for who in result for share in (truths[who][name], result[who]["areas"][name])]
        _say(capsys, f"  {name:<12}" + "".join(f"{value:>12.3f}" for value in shares))
    for who, row in result.items():
        _say(capsys, f"  {who}: {row['regions']} regions, {row['aggregations']} aggregations,"
                     f" {row['cpu_us_per_region_sample']:.1f} us of CPU a region sample")  # fmt: skip
    ours = result["pydamon"]["areas"]
    assert ours["hot"] == pytest.approx(truths["pydamon"]["hot"], rel=0.10)
    assert ours["cold"] <= 0.05


def test_vaddr_sees_what_the_workload_did(boot_guest: Boot, capsys: pytest.CaptureFixture[str]) -> None:
    _see(boot_guest(), ["pydamon"], capsys)


@pytest.mark.long
def test_vaddr_beside_the_kernels_own(boot_guest: Boot, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, and the kernel's own monitoring afterwards."""
    _see(boot_guest(), ["pydamon", "kernel"], capsys)


@pytest.fixture(scope="module")
def hot_cold(shared_guest: Guest) -> Iterator[RunningWorkload]:
    """A workload in memory that is not fragmented yet, for the last tests of the module: it costs until it ends.

    What needs all of its pages in memory comes before what reclaims.
    """
    with workload(shared_guest, HOT_COLD) as running:
        yield running


@contextmanager
def _beside(running: RunningWorkload, module: Sequence[str]) -> Iterator[Process]:
    """A module at work; it ends with the block, without an error."""
    run = running.guest.popen(damon_run(module, duration=SECONDS))
    yield run
    run.terminate()
    ended = run.wait(timeout=HANG_S)
    assert ended.returncode == 0, ended.errors


def _until(
    running: RunningWorkload, run: Process, done: Callable[[float, Areas], bool], *, lists: bool
) -> tuple[float, Areas]:
    """Seconds until the pages were as wanted, or the last look, and the pages."""
    began, pages = running.look(lists=lists)
    took = 0.0
    while not done(took, pages) and took < SECONDS and run.poll() is None:
        now, pages = running.look(after=LOOK_S, lists=lists)
        took = now - began
    return took, pages


def test_lru_sort_sorts_the_lists(hot_cold: RunningWorkload, capsys: pytest.CaptureFixture[str]) -> None:
    """By kpageflags: at least 90 % of the hot area active and 90 % of the cold inactive; both began elsewhere."""
    guest = hot_cold.guest
    guest.run([PYTHON, "-m", "tests.vm.guest.activate", str(hot_cold.pid), hot_cold.span("cold")]).check()
    start = hot_cold.pages(lists=True)
    assert share(start["hot"], "active") < 0.5
    assert share(start["cold"], "active") > 0.9

    def done(_: float, pages: Areas) -> bool:
        return share(pages["hot"], "active") >= 0.9 and share(pages["cold"], "inactive") >= 0.9

    with _beside(hot_cold, ["damon_lru_sort", "cold_min_age=2000000", SMALL, *AWAKE, *SWEEPS]) as run:
        took, pages = _until(hot_cold, run, done, lists=True)
    _say(capsys, f"  after {took:.0f} s: hot {share(pages['hot'], 'active'):.1%} active"
                 f" ({share(start['hot'], 'active'):.1%} before), cold {share(pages['cold'], 'inactive'):.1%} inactive"
                 f" ({share(start['cold'], 'inactive'):.1%} before)")  # fmt: skip
    assert share(pages["hot"], "active") >= 0.9
    assert share(pages["cold"], "inactive") >= 0.9


def test_reclaim_takes_the_cold_and_leaves_the_hot(
    hot_cold: RunningWorkload, capsys: pytest.CaptureFixture[str]
) -> None:
    """At most 10 % of the cold area and at least 95 % of the hot one in memory within 90 s, by pagemap."""
    before = hot_cold.rate(2)
    assert share(hot_cold.pages()["cold"], "present") > 0.99

    def done(seconds: float, pages: Areas) -> bool:
        _say(capsys, f"  {seconds:5.1f} s: cold {share(pages['cold'], 'present'):6.1%} in memory,"
                     f" hot {share(pages['hot'], 'present'):6.1%}")  # fmt: skip
        return share(pages["cold"], "present") <= 0.10

    with _beside(hot_cold, [*RECLAIM, *SMALLER, "min_age=2000000"]) as run:
        took, pages = _until(hot_cold, run, done, lists=False)
    assert share(pages["cold"], "present") <= 0.10
    pages = hot_cold.pages()
    after = hot_cold.rate(2)
    result = json.loads(hot_cold.guest.run(["cat", "/tmp/run.json"]).text)
    cpu = result["timing"]["kdamond_cpu_seconds"]["damon_reclaim"]
    touches = f"touches a second {before:,.0f} before, {after:,.0f} after"
    _say(capsys, f"  cold area reclaimed within {took:.1f} s; {touches}; worker CPU {cpu:.2f} s")
    assert share(pages["hot"], "present") >= 0.95
    assert pages["cold"]["swapped"] >= 0.9 * pages["cold"]["pages"]
    assert after > 0.5 * before
    stats = result["modules"]["damon_reclaim"]["stats"]
    assert stats["bytes_reclaimed_regions"] >= 0.9 * 224 * 2**20
