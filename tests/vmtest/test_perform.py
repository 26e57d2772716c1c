# SPDX-License-Identifier: GPL-2.0-only
"""One job with a stand-in for its guest: every end has its verdict, and nothing but a pass is one."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from tests.vmtest.suite_fakes import job
from tests.waiting import HANG_S
from vmtest.errors import CommandTimeout, GuestLost, MachineLacks, Verdict
from vmtest.qemu.clock import Clock
from vmtest.qemu.hotplug import Change
from vmtest.results import manifest, symbols
from vmtest.results.job import Limits
from vmtest.results.outcome import Outcome, Status
from vmtest.suite import perform as module
from vmtest.suite.perform import Watch, perform

TAP = "TAP version 13\n1..2\nok 1 a\n{} 2 b\n"


class FakeGuest:
    """In place of a guest; its test dictates what it does."""

    code = 0
    workload_ends: int | None = None
    workload_says = "up\n"
    start_raises: BaseException | None = None
    settle_raises: BaseException | None = None
    probe_raises: BaseException | None = None
    plugged: threading.Event | None = None
    script: Callable[[dict[str, Any]], object] = staticmethod(lambda sinks: None)

    def __init__(self, config: Any, *, artifacts: Path, most_dumps: int) -> None:
        self.config = config
        self.artifacts = artifacts
        self.timings = {"prepare": 0.1, "boot": 0.2}
        self.warnings = ["[ 1.0] a note"]
        self.command_line: list[str] = []
        self.console_text = "[    0.000000] Linux version 6.12.1-x (a@b)\n"
        self.accelerator = "tcg"
        self.limits: list[float] = []
        self.killed: list[str] = []
        self.closed = False
        self.machine = SimpleNamespace(clock=Clock(), dump_tasks=lambda: None)
        self.commands = SimpleNamespace(probe=self.probe)
        self.dumps = SimpleNamespace(kept=self.kept)
        FakeGuest.last = self

    def plug_memory(self, size: int, *, node: int) -> Change:
        if self.plugged:
            self.plugged.set()
        return Change(node, size, size, size, 0.5)

    def kept(self) -> Path | None:
        return self.artifacts / "vmcore" if self.config.dump_on_panic and self.settle_raises else None

    last: FakeGuest

    def start(self) -> None:
        if self.start_raises:
            raise self.start_raises

    def popen(self, command: str, **sinks: Any) -> Any:
        def wait(limit: float) -> Any:
            self.limits.append(limit)
            self.script(sinks)
            return SimpleNamespace(returncode=self.code)

        return SimpleNamespace(poll=lambda: self.workload_ends, wait=wait, kill=lambda: self.killed.append(command))

    def run(self, command: str) -> Any:
        return SimpleNamespace(text=self.workload_says)

    def settle(self) -> None:
        if self.settle_raises:
            raise self.settle_raises

    def probe(self, _patience: float) -> None:
        if self.probe_raises:
            raise self.probe_raises

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeGuest]:
    made = type("Fake", (FakeGuest,), {})
    monkeypatch.setattr(module, "Guest", made)
    return made


def _do(tmp_path: Path, watch: Watch | None = None, **fields: Any) -> Outcome:
    result = perform(job(tmp_path, **fields), tmp_path / "a", watch)
    assert FakeGuest.last.closed
    assert manifest.read(tmp_path / "a").outcome == result
    return result


@pytest.mark.parametrize(
    ("code", "fields", "verdict"),
    [
        (0, {}, "pass"),
        (1, {}, "fail"),
        (3, {"exit": 3}, "pass"),
        (0, {"exit": 3}, "fail"),
        (4, {}, "skip"),
        (4, {"skip_exit": None}, "fail"),
        (4, {"exit": 4}, "pass"),
        (139, {}, "fail"),
    ],
)
def test_exit_codes(fake: type[FakeGuest], tmp_path: Path, code: int, fields: dict[str, Any], verdict: str) -> None:
    fake.code = code
    result = _do(tmp_path, **fields)
    assert result.verdict == verdict
    assert result.exit_code == code
    assert result.warnings == ["[ 1.0] a note"]
    assert manifest.read(tmp_path / "a").kernel_release == "6.12.1-x"


@pytest.mark.parametrize(
    ("text", "code", "verdict", "message"),
    [
        (TAP.format("ok"), 0, "pass", ""),
        (TAP.format("not ok"), 0, "fail", "not ok: b"),
        ("1..3\nok 1 a\n", 0, "fail", "3 results planned, 1 came"),
        ("nothing at all\n", 0, "fail", "no results"),
        (TAP.format("ok"), 1, "fail", "exit code 1"),
    ],
)
def test_output_that_is_ktap_is_held_against_the_exit_code(
    fake: type[FakeGuest], tmp_path: Path, text: str, code: int, verdict: str, message: str
) -> None:
    fake.code = code
    fake.script = staticmethod(lambda sinks: sinks["stdout"](text.encode()))
    result = _do(tmp_path, output="ktap")
    assert result.verdict == verdict
    assert message in result.message
    assert (tmp_path / "a/stdout").read_text() == text


def test_memory_that_came_and_a_dump_are_in_the_manifest(fake: type[FakeGuest], tmp_path: Path) -> None:
    plugged = threading.Event()
    fake.plugged = plugged
    fake.script = staticmethod(lambda sinks: plugged.wait(HANG_S))
    fake.settle_raises = GuestLost(Verdict.PANIC, "x")
    machine = {"memory": "256M", "memory_max": "1G", "plug": ["0s:+128M", "90s:-128M"], "dump_on_panic": True}
    assert _do(tmp_path, machine_args=machine).verdict == "panic"
    found = manifest.read(tmp_path / "a")
    assert found.dump == "vmcore"
    assert found.memory == [
        "after 0 s: memory +128M of node 0: plugged 128M, 128M plugged (0.5 s)",
        "memory -128M of node 0 after 90 s: not done, the command had ended",
    ]
    assert found.job.config.plug == ("0s:+128M", "90s:-128M")


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("where", ["start_raises", "script", "settle_raises"])
def test_a_lost_guest_is_lost_wherever_it_was(
    fake: type[FakeGuest], tmp_path: Path, verdict: Verdict, where: str
) -> None:
    """Also after the command ended with 0: what the kernel said before is read before anything is a pass."""
    lost = GuestLost(verdict, "[    1.0] the reason", "excerpt")
    setattr(fake, where, staticmethod(Mock(side_effect=lost)) if where == "script" else lost)
    result = _do(tmp_path)
    assert (result.verdict, result.status) == (verdict.value, Status.LOST)
    assert result.message == "the reason"
    assert (tmp_path / "a/excerpt.txt").read_text() == "excerpt\n"


def test_a_timeout_kills_and_asks_whether_the_guest_is_fine(fake: type[FakeGuest], tmp_path: Path) -> None:
    fake.script = staticmethod(Mock(side_effect=CommandTimeout("command 'x' did not end within 5 s")))
    result = _do(tmp_path, limits=Limits(command=5))
    assert result.verdict == "command-timeout"
    assert FakeGuest.last.limits == [5]
    assert FakeGuest.last.killed == ["true"]
    assert _do(tmp_path, limits=Limits(command=50, total=5)).verdict == "total-timeout"
    fake.probe_raises = GuestLost(Verdict.HUNG, "no answer")
    assert _do(tmp_path, limits=Limits(command=5)).verdict == "hung"
    fake.probe_raises = None
    fake.settle_raises = GuestLost(Verdict.OOM, "it said so meanwhile")
    assert _do(tmp_path, limits=Limits(command=5)).verdict == "oom"


@pytest.mark.parametrize(
    ("error", "verdict", "status"),
    [
        (MachineLacks("no QEMU\nmore"), "machine-lacks", Status.ERROR),
        (ZeroDivisionError("a defect"), "harness-error", Status.ERROR),
        (OSError(28, "No space left on device"), "harness-error", Status.ERROR),
    ],
)
def test_the_harness_own_troubles(
    fake: type[FakeGuest], tmp_path: Path, error: Exception, verdict: str, status: Status
) -> None:
    fake.start_raises = error
    result = _do(tmp_path)
    assert (result.verdict, result.status) == (verdict, status)
    assert "\n" not in result.message


def test_workloads(fake: type[FakeGuest], tmp_path: Path) -> None:
    fields: dict[str, Any] = {"workload": "load", "ready": "^up$"}
    assert _do(tmp_path, **fields).verdict == "pass"
    fake.workload_ends = 3
    assert _do(tmp_path, **fields).verdict == "workload-failed", "it ended beside a test that passed"
    fake.workload_ends, fake.workload_says = None, "not yet"
    result = _do(tmp_path, **fields, limits=Limits(ready=0.2))
    assert result.verdict == "workload-failed"
    assert "within 0.2 s" in result.message
    assert "command" not in result.timings
    fake.workload_ends = 1
    assert "ended with code 1" in _do(tmp_path, **fields).message


def test_a_run_that_is_ended_leaves_no_verdict(fake: type[FakeGuest], tmp_path: Path) -> None:
    watch = Watch()
    fake.script = staticmethod(lambda _sinks: watch.stop())
    assert _do(tmp_path, watch).verdict == "not-run"
    assert _do(tmp_path, watch).verdict == "not-run", "stopped before it began"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with symbols, as a kernel's vmlinux has them."""
    directory = tmp_path_factory.mktemp("symbols") / "kernel"
    directory.mkdir()
    functions = ["int g(int a) { return a; }", "int h(void) { return 0; }"]
    (directory / "x.c").write_text(
        "\n".join(["int g(int);", "int f(int a)", "{", "\tint b = g(a);", "\treturn b + 1;", "}", *functions])
    )
    words = ["gcc", "-g", "-O0", "-nostdlib", "-static", "-Wl,-e,f", "-o", "vmlinux", "x.c"]
    subprocess.run(words, cwd=directory, check=True)
    return directory / "vmlinux"


def test_addresses_get_file_and_line(program: Path) -> None:
    listing = subprocess.run(["nm", "-S", program], capture_output=True, text=True, check=True).stdout
    size = next(int(line.split()[1], 16) for line in listing.splitlines() if line.endswith(" f"))
    text = f"[ 1.0] Call Trace:\n[ 1.0]  f+0x{size - 1:x}/0x{size:x}\n[ 1.0]  ? g+0x1/0x999\n[ 1.0]  nothing+0x1/0x2"
    lines = symbols.decode(text, program).splitlines()
    assert lines[0] == "[ 1.0] Call Trace:"
    assert lines[1].endswith("(kernel/x.c:6)") or lines[1].endswith("(kernel/x.c:5)")
    assert lines[2] == "[ 1.0]  ? g+0x1/0x999", "of another size: another kernel's"
    assert lines[3] == "[ 1.0]  nothing+0x1/0x2"
    rip = symbols.decode(f"RIP: 0010:f+0x0/0x{size:x}", program)
    assert rip.endswith("(kernel/x.c:3)")


def test_without_symbols_the_text_stays(tmp_path: Path, program: Path) -> None:
    text = "RIP: 0010:f+0x1/0x2"
    assert symbols.decode(text, None) == text
    (tmp_path / "vmlinux").write_text("no such format")
    assert symbols.decode(text, tmp_path / "vmlinux") == text


def test_where_symbols_are(tmp_path: Path) -> None:
    image = tmp_path / "arch/x86/boot/bzImage"
    image.parent.mkdir(parents=True)
    image.touch()
    assert symbols.vmlinux_of(image) is None
    (tmp_path / "vmlinux").touch()
    assert symbols.vmlinux_of(image) == tmp_path / "vmlinux"
    shutil.copy(tmp_path / "vmlinux", image.with_name("vmlinux"))
    assert symbols.vmlinux_of(image) == image.with_name("vmlinux")
