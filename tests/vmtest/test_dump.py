# SPDX-License-Identifier: GPL-2.0-only
"""The dump of a lost guest's memory, with a scripted QEMU: when it is made, when not, and what is said of it."""

from __future__ import annotations

import shutil
import struct
import threading
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.vmtest.qmp_peer import Peer, Refused
from vmtest import Guest, GuestConfig
from vmtest.cluster.worker import drop_dump
from vmtest.errors import GuestLost, InvalidInput, Verdict
from vmtest.qemu import dump, kdump
from vmtest.qemu.console import Console
from vmtest.qemu.monitor import Monitor, MonitorError

Usage = namedtuple("Usage", "total used free")


class Qemu:
    """Answers of a QEMU that dumps; ``error``: what its dump ends with."""

    def __init__(self, status: str = "running", error: str = "", refuses: str = "") -> None:
        self.status, self.error, self.refuses = status, error, refuses
        self.peer = Peer(self.answer)

    def answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "query-status":
            return {"status": self.status}
        if name == "dump-guest-memory":
            if self.refuses:
                raise Refused(self.refuses)
            path = Path(arguments["protocol"].removeprefix("file:"))
            path.write_text("half" if self.error else "memory")
            result = {"status": "failed" if self.error else "completed"}
            more = {"error": self.error} if self.error else {}
            threading.Timer(0.05, lambda: self.peer.event("DUMP_COMPLETED", result=result, **more)).start()
        return {}

    @property
    def commands(self) -> list[str]:
        return [name for name, _ in self.peer.asked]


def _console(verdict: Verdict | None) -> SimpleNamespace:
    ended = threading.Event()
    ended.set()
    lost = GuestLost(verdict, "x") if verdict else None
    return SimpleNamespace(lost=lost, doomed=lost is not None, powered_down=verdict is None, ended=ended)


def _keeper(qemu: Qemu, directory: Path, verdict: Verdict | None, *, lost: bool = True) -> dump.Keeper:
    monitor = Monitor(qemu.peer.here)
    keeper = dump.Keeper(monitor, cast(Console, _console(verdict)), directory, 1 << 20)
    keeper.start()
    if lost:
        keeper.lost()
    assert keeper.done.wait(10)
    keeper.join(10)
    monitor.close()
    return keeper


def test_a_guest_without_a_directory_for_it_is_refused() -> None:
    with pytest.raises(InvalidInput, match="dump_on_panic: True: "):
        Guest(GuestConfig(dump_on_panic=True))


def test_a_panic_leaves_a_dump_and_ends_qemu(tmp_path: Path) -> None:
    qemu = Qemu("shutdown")
    with qemu.peer:
        keeper = _keeper(qemu, tmp_path, Verdict.PANIC, lost=False)
    assert keeper.path == tmp_path / "vmcore"
    assert keeper.path.read_text() == "memory"
    assert keeper.note == ""
    assert qemu.commands == ["query-status", "stop", "dump-guest-memory", "quit"]


def test_so_does_the_console_alone(tmp_path: Path) -> None:
    qemu = Qemu()
    with qemu.peer:
        assert _keeper(qemu, tmp_path, Verdict.HUNG).path


@pytest.mark.parametrize("verdict", [None, Verdict.CLOSED, Verdict.POWERED_OFF, Verdict.QEMU_STOPPED])
def test_other_ends_leave_none(tmp_path: Path, verdict: Verdict | None) -> None:
    qemu = Qemu()
    with qemu.peer:
        keeper = _keeper(qemu, tmp_path, verdict)
    assert (keeper.path, keeper.note) == (None, "")
    assert "dump-guest-memory" not in qemu.commands
    assert qemu.commands[-1] == "quit", "a machine that was switched off would stand there for ever"


@pytest.mark.parametrize(
    ("qemu", "words"),
    [
        (Qemu(error="dump: failed to save memory: No space left on device"), "No space left on device"),
        (Qemu(refuses="Could not open '/x/vmcore'"), "Could not open"),
    ],
)
def test_a_dump_that_fails_is_reported_and_leaves_no_file(tmp_path: Path, qemu: Qemu, words: str) -> None:
    with qemu.peer:
        keeper = _keeper(qemu, tmp_path, Verdict.OOPS)
    assert keeper.path is None
    assert keeper.note.startswith("no dump of the guest's memory: ")
    assert words in keeper.note
    assert list(tmp_path.iterdir()) == []


def test_pieces_come_to_their_places_and_drgn_gets_the_system(tmp_path: Path) -> None:
    part, path = tmp_path / "part", tmp_path / "vmcore"
    info = b"OSRELEASE=6.12.0-x\nPAGESIZE=4096\n"
    place = struct.pack("<QQ", 9000, len(info))
    pieces = [(9000, info), (0, b"KDUMP   "), (kdump.VMCOREINFO_AT, place), (5, b"   ")]
    records = b"".join(struct.pack(">qq", at, len(data)) + data for at, data in pieces)
    flat = b"makedumpfile\0".ljust(4096, b"\0") + records
    part.write_bytes(flat + struct.pack(">qq", -1, -1))
    kdump.finish(part, path)
    found = path.read_bytes()
    assert found.startswith(b"KDUMP   ")
    assert found[9000:] == info
    names = [found[12 + 65 * number :][:65].rstrip(b"\0") for number in range(5)]
    assert names == [b"Linux", b"guest", b"6.12.0-x", b"#1", b""]
    assert path.stat().st_mode & 0o777 == 0o600, "it has all that the guest knew"
    for cut in (1, 5):
        part.write_bytes(flat[:-cut] if cut == 1 else flat + b"\0" * cut)
        with pytest.raises(OSError, match="too early"):
            kdump.finish(part, path)


def test_other_formats_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"\x7fELF" * 2000)
    kdump.finish(tmp_path / "part", tmp_path / "vmcore")
    assert (tmp_path / "vmcore").read_bytes() == b"\x7fELF" * 2000


def test_a_disk_that_is_too_full_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, dump.RESERVE))
    qemu = Qemu()
    with qemu.peer:
        keeper = _keeper(qemu, tmp_path, Verdict.OOPS)
    assert keeper.note == "no dump of the guest's memory: it may take 1M, 512 MiB are free there"
    assert "dump-guest-memory" not in qemu.commands


def test_a_run_keeps_a_few(tmp_path: Path) -> None:
    for number in range(dump.MOST):
        (tmp_path / f"guest{number}").mkdir()
        (tmp_path / f"guest{number}/vmcore").touch()
    (tmp_path / "mine").mkdir()
    assert dump.room_for(tmp_path / "mine", 1, dump.MOST) == f"{dump.MOST} guests of this run have one already"
    assert dump.room_for(tmp_path / "guest0", 1, dump.MOST) == "", "its own does not count"
    assert dump.room_for(tmp_path / "mine", 1, None) == ""


def test_an_end_of_qemu_while_it_dumps(tmp_path: Path) -> None:
    peer = Peer(lambda name, _arguments: threading.Timer(0.1, peer.hang_up).start() if "dump" in name else {})
    with peer:
        monitor = Monitor(peer.here)
        with pytest.raises(MonitorError):
            dump.write(monitor, tmp_path / "vmcore", 10)
        monitor.close()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_sends_no_huge_dump(tmp_path: Path) -> None:
    assert drop_dump(tmp_path, too_large=0) == []
    with (tmp_path / "vmcore").open("wb") as stream:
        stream.truncate(3 << 20)
    assert drop_dump(tmp_path, too_large=3 << 20) == []
    (message,) = drop_dump(tmp_path, too_large=2 << 20)
    assert "its 3 MiB were too many" in message
    assert list(tmp_path.iterdir()) == []
