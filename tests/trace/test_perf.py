# SPDX-License-Identifier: GPL-2.0-only
"""The perf stand-in as a command of its own process, in the ways damo calls it."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from damon.core import Damon
from damon.core.events import AGGREGATED, INTERVALS_TUNE
from damon.core.regions import kdamond_reset_aggregated
from damon.core.trace import trace_intervals_tune
from damon.model.context import DamonCtx
from damon.model.target import DamonTarget
from damon.trace.install import install_perf
from damon.trace.server import TraceServer
from tests.fakes import FakeMachine, regions_of
from tests.waiting import until

NO_PERF = "needs the machine's own perf: install it (DAMON's events are all that this one knows)"
EVENTS = ["-e", "damon:damon_aggregated", "-e", "damon:damon_monitor_intervals_tune"]


class Tracer:
    """A traced machine, and ``perf`` in the PATH of what is started here."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path
        self.damon = Damon(FakeMachine())
        self.ctx: DamonCtx = self.damon.new_ctx()
        self.ctx.targets.append(DamonTarget(regions=regions_of((0, 4096, 3, 1, 5), (4096, 8192, 20, 1, 0))))
        self.server = TraceServer(self.damon.trace, tmp_path / "trace.sock")
        (tmp_path / "bin").mkdir()
        install_perf(tmp_path / "bin")
        self.env = {"PATH": f"{tmp_path / 'bin'}", "DAMON_TRACE_SOCKET": str(tmp_path / "trace.sock")}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["perf", *words],
            cwd=self.directory,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def listening(self, event: str = AGGREGATED) -> None:
        until(lambda: self.damon.trace.enabled(event))


@pytest.fixture
def tracer(tmp_path: Path) -> Iterator[Tracer]:
    tracer = Tracer(tmp_path)
    with tracer.server:
        yield tracer


def test_version(tracer: Tracer) -> None:
    code, out, err = tracer.run("--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"perf version \S+\n", out)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_record_until_a_signal_and_script(tracer: Tracer, end: signal.Signals) -> None:
    (tracer.directory / "damon.data").write_text("older")
    perf = tracer.start("record", "-a", "-o", "damon.data", *EVENTS)
    tracer.listening(INTERVALS_TUNE)
    for _ in range(4):
        tracer.damon.machine.clock.sleep_us(100_000)
        kdamond_reset_aggregated(tracer.ctx)
    trace_intervals_tune(tracer.ctx, 80_000)
    perf.send_signal(end)  # at once: what was emitted is written all the same
    _, err = perf.communicate(timeout=600)
    assert perf.returncode == 0
    assert "(9 samples)" in err
    assert (tracer.directory / "damon.data.old").read_text() == "older"
    assert stat.S_IMODE((tracer.directory / "damon.data").stat().st_mode) == 0o600
    assert subprocess.check_output(["file", "-b", "damon.data"], cwd=tracer.directory, text=True) == "ASCII text\n"
    code, out, err = tracer.run("script", "--force", "-i", "damon.data")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert [line[3] for line in lines] == [f"0.{n}00000:" for n in (1, 1, 2, 2, 3, 3, 4, 4, 4)]
    assert lines[0][4:] == ["damon:damon_aggregated:", "target_id=0", "nr_regions=2", "0-4096:", "3", "5"]
    assert lines[-1][4:] == ["damon:damon_monitor_intervals_tune:", "sample_us=80000"]


def test_what_is_recorded_outlives_a_kill(tracer: Tracer) -> None:
    perf = tracer.start("record", "-a", "-o", "killed", *EVENTS)
    tracer.listening()
    kdamond_reset_aggregated(tracer.ctx)
    killed = tracer.directory / "killed"
    until(lambda: killed.exists() and killed.stat().st_size > 0)
    perf.kill()
    perf.communicate(timeout=600)
    code, out, _ = tracer.run("script", "--force", "-i", "killed")
    assert code == 0
    assert len(out.splitlines()) == 2
    until(lambda: not tracer.damon.trace.enabled(AGGREGATED))


def test_record_ends_with_the_server_and_names_what_was_full(tracer: Tracer) -> None:
    perf = tracer.start("record", "-a", "-o", "short", *EVENTS)
    full = tracer.start("record", "-a", "-o", "/dev/full", "-e", "damon:damon_aggregated,damon:damos_esz")
    tracer.listening("damos_esz")
    tracer.listening(INTERVALS_TUNE)
    kdamond_reset_aggregated(tracer.ctx)
    _, err = full.communicate(timeout=600)
    assert full.returncode == 255
    assert err == "perf: /dev/full: No space left on device\n"
    tracer.server.close()
    perf.communicate(timeout=600)
    assert perf.returncode == 0
    assert len((tracer.directory / "short").read_text().splitlines()) == 2
    code, _, err = tracer.run("record", "-a", "-o", "short", *EVENTS)
    assert code == 255
    assert re.fullmatch(r"perf: trace events: .*: No such file or directory; start damond\n", err)
    assert len((tracer.directory / "short").read_text().splitlines()) == 2  # the last one was left alone


def test_unknown_events_are_refused_as_perf_does(tracer: Tracer) -> None:
    code, _, err = tracer.run("record", "-a", "-o", "x", "-e", "damon:nope")
    assert code == 129
    assert err.startswith("perf: event syntax error: event: 'damon:nope': is unknown")
    assert not (tracer.directory / "x").exists()


def test_trace_in_the_form_that_damo_reads(tracer: Tracer) -> None:
    perf = tracer.start("trace", "--libtraceevent_print", *EVENTS)
    tracer.listening()
    tracer.damon.machine.clock.sleep_us(3_000_000)
    kdamond_reset_aggregated(tracer.ctx)
    tracer.damon.machine.clock.sleep_us(1_500)
    trace_intervals_tune(tracer.ctx, 9)
    assert perf.stdout is not None
    lines = [perf.stdout.readline().strip() for _ in range(3)]
    perf.send_signal(signal.SIGINT)
    assert perf.stdout.read() == ""
    assert (perf.wait(60), perf.stderr.read() if perf.stderr else "") == (0, "")
    assert lines == [
        "0.000 MainThread/0 damon:damon_aggregated(target_id=0 nr_regions=2 0-4096: 3 5)",
        "0.000 MainThread/0 damon:damon_aggregated(target_id=0 nr_regions=2 4096-8192: 20 0)",
        "1.500 MainThread/0 damon:damon_monitor_intervals_tune(sample_us=9)",
    ]


def test_profiles_are_left_to_the_machines_own_perf(tracer: Tracer) -> None:
    profile = tracer.start("record", "-o", "damon.data.profile")
    assert profile.stderr is not None
    assert "no profile is recorded: that needs the machine's own perf" in profile.stderr.readline()
    profile.send_signal(signal.SIGINT)
    profile.communicate(timeout=600)
    assert profile.returncode == 0
    assert not (tracer.directory / "damon.data.profile").exists()
    code, out, _ = tracer.run("report", "-i", "damon.data.profile", "--stdio")
    assert code == 0
    assert out.splitlines()[5].startswith("# No profile was recorded")  # damo shows from the sixth line on
    assert tracer.run("top")[::2] == (255, f"perf: 'top' {NO_PERF}\n")
    (tracer.directory / "own").mkdir()
    real = tracer.directory / "own" / "perf"
    real.write_text("#!/bin/sh\necho own perf: $*\n")
    real.chmod(0o755)
    tracer.env["PATH"] += f":{tracer.directory / 'own'}"
    assert tracer.run("report", "-i", "x", "--stdio") == (0, "own perf: report -i x --stdio\n", "")
    assert tracer.run("record", "-o", "x.profile")[1] == "own perf: record -o x.profile\n"
    (tracer.directory / "binary").write_bytes(b"PERFILE2\x00\xff")
    assert tracer.run("script", "--force", "-i", "binary")[1] == "own perf: script --force -i binary\n"
    assert tracer.run("--version")[1].startswith("perf version")


def test_the_script_needs_nothing_of_its_callers_environment(tracer: Tracer) -> None:
    (tracer.directory / "damon").mkdir()
    (tracer.directory / "damon" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    (tracer.directory / "re.py").write_text("raise SystemExit('the wrong module')")
    assert tracer.run("--version")[0] == 0
    assert os.access(tracer.directory / "bin" / "perf", os.X_OK)
