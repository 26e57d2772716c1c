# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest run`` on real guests: each end has its verdict in every form of the results, and a manifest runs again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil

from vmtest.results import writers
from vmtest.results.outcome import Status

SUITE = """\
name: ends
timeouts: {boot: 900, silence: 600, login: 300, ready: 600, command: 600}
kernels: [page-idle]
machines:
  small: {memory: 256M, cpus: 1}
  ready: {memory: 256M, cpus: 1, snapshot: true}
workloads:
  none:
  counting: {command: "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done", ready: "^3$"}
tests:
  good: test -d /opt/t && uname -r
  bad: "echo no >&2; exit 3"
  crash: echo c >/proc/sysrq-trigger; sleep 20
  late: "echo '<2>BUG: KASAN: use-after-free in f+0x1/0x2' >/dev/kmsg"
  slow: {command: sleep 60, timeouts: {command: 4}}
  sees: grep -q 3 $VMTEST_WORKLOAD_OUTPUT
include:
  - {machine: small, workload: none, test: good}
  - {machine: ready, workload: none, test: "[bcl]*"}
  - {machine: ready, workload: none, test: slow}
  - {machine: ready, workload: counting, test: sees}
expect: [{test: slow, verdict: command-timeout, reason: it sleeps}]
trees: {tree: /opt/t}
"""


def _vmtest(*words: str | int | Path) -> subprocess.CompletedProcess[str]:
    # A guest that shows its tasks on the console while it is asked whether it still answers: slow on a busy host.
    env = {**os.environ, "VMTEST_PATIENCE": "16"}
    command = [sys.executable, "-m", "vmtest.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_a_suite_from_file_to_results_and_again(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "suite.yaml").write_text(SUITE)
    done = _vmtest("run", tmp_path / "suite.yaml", "-j", 2, "--results", tmp_path / "out")
    assert done.returncode == 125, done.stdout + done.stderr
    run = writers.read(tmp_path / "out")
    verdicts = {outcome.test: outcome.verdict for outcome in run.outcomes}
    wanted = {
        "good": "pass",
        "bad": "fail",
        "crash": "panic",
        "late": "kasan",
        "slow": "command-timeout",
        "sees": "pass",
    }
    assert verdicts == wanted
    by_name = {outcome.test: outcome for outcome in run.outcomes}
    assert by_name["slow"].status is Status.EXPECTED
    assert "sysrq_handle_crash" in by_name["crash"].excerpt
    assert by_name["bad"].message == "exit code 3: no"
    cases = {case.get("name"): case for case in ElementTree.parse(tmp_path / "out/junit.xml").iter("testcase")}
    assert next(child.tag for child in cases["crash"]) == "error"
    assert next(child.tag for child in cases["bad"]) == "failure"
    place = tmp_path / "out" / by_name["slow"].directory
    console = (place / "console.log").read_text(errors="replace")
    assert "sysrq: Show Blocked State" in console
    assert "sysrq: Show State" in console
    assert console.count("task:sleep") >= 1, "who hangs is among the tasks"
    subprocess.run(["sh", "-n", place / "qemu.sh"], check=True)
    again = _vmtest("rerun", tmp_path / "out" / by_name["late"].directory, "--trust", "--results", tmp_path / "again")
    assert again.returncode == 125
    assert "verdict then: kasan; now: kasan - the same" in again.stdout
    page = _vmtest("report", tmp_path / "out")
    assert page.returncode == 0, page.stderr
    assert "KASAN: use-after-free" in (tmp_path / "out/report.html").read_text()
    assert not [child for child in psutil.Process().children(recursive=True) if child.name().startswith("qemu")]
    _boots_by_hand(tmp_path / "out" / by_name["good"].directory / "qemu.sh")


def _boots_by_hand(script: Path) -> None:
    text = script.read_text().replace("init=/usr/lib/vmtest/init", "init=/bin/false").replace(":2222-", ":0-")
    script.write_text(text)
    booted = subprocess.run([script], capture_output=True, timeout=600, stdin=subprocess.DEVNULL, check=False)
    assert b"Kernel panic - not syncing: Attempted to kill init!" in booted.stdout
