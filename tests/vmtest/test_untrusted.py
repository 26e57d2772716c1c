# SPDX-License-Identifier: GPL-2.0-only
"""What a guest or a worker sends: only what was asked for is taken, all of it or nothing. Hostile streams, no guest."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from vmtest import GuestConfig, untrusted
from vmtest.errors import ForeignContent, InvalidInput
from vmtest.qemu.machine import Machine
from vmtest.ssh.commands import Commands
from vmtest.ssh.process import Enough, Result, Sink

CHUNK = 1000


class Sender(Commands):
    """A guest of which only the answer to ``get`` is there."""

    def __init__(self, stream: bytes, code: int = 0) -> None:
        super().__init__(Machine(GuestConfig(), None, lambda: None))
        self._bytes = stream
        self._code = code
        self.sent = 0

    def run(self, command: str | Sequence[str], *, stdout: Sink | None = None, **others: Any) -> Result:
        assert stdout is not None
        try:
            for start in range(0, len(self._bytes), CHUNK):
                self.sent = start + CHUNK
                stdout(self._bytes[start : self.sent])
        except Enough:
            return Result(command, 137, b"", b"", 0.0)
        return Result(command, self._code, b"", b"", 0.0)


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def archive(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for one in entries:
            info, data = one if isinstance(one, tuple) else (one, b"")
            if info.isreg():
                info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def names(directory: Path) -> list[str]:
    """All that is in a directory, scratch directories too."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


DIR, SYM, LNK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
WANTED = (entry("wanted", DIR), (entry("wanted/file"), b"good"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / "beside").write_text("mine")
    return directory


HOSTILE: dict[str, tuple[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], ...]] = {
    "a file beside": (*WANTED, (entry("beside"), b"evil")),
    "a file beside first": ((entry("beside"), b"evil"), *WANTED),
    "another name that begins alike": (*WANTED, (entry("wanted2"), b"evil")),
    "up": (*WANTED, (entry("wanted/../beside"), b"evil")),
    "up from the start": (*WANTED, (entry("../beside"), b"evil")),
    "a dot": (*WANTED, (entry("wanted/./x"), b"evil")),
    "absolute": (*WANTED, (entry("/tmp/evil"), b"evil")),
    "absolute, doubled": (*WANTED, (entry("//wanted/x"), b"evil")),
    "through a link": (*WANTED, entry("wanted/l", SYM, link="."), (entry("wanted/l/x"), b"evil")),
    "a link out": (*WANTED, entry("wanted/l", SYM, link="../beside")),
    "a link out, absolute": (*WANTED, entry("wanted/l", SYM, link="/etc/passwd")),
    "a link to nothing": (*WANTED, entry("wanted/l", SYM, link="")),
    "a link out by another": (
        *WANTED,
        entry("wanted/a", DIR),
        entry("wanted/a/x", SYM, link=".."),
        entry("wanted/y", SYM, link="a/x/../.."),
    ),
    "the wanted one is a link": (entry("wanted", SYM, link="beside"),),
    "a hard link out": (*WANTED, entry("wanted/h", LNK, link="../beside")),
    "a hard link beside": (*WANTED, entry("wanted/h", LNK, link="beside")),
    "a hard link, absolute": (*WANTED, entry("wanted/h", LNK, link="/etc/passwd")),
    "a hard link to a link": (*WANTED, entry("wanted/s", SYM, link="file"), entry("wanted/h", LNK, link="wanted/s")),
    "a device": (*WANTED, entry("wanted/null", tarfile.CHRTYPE)),
    "a block device": (*WANTED, entry("wanted/sda", tarfile.BLKTYPE)),
    "a pipe": (*WANTED, entry("wanted/pipe", tarfile.FIFOTYPE)),
    "twice": (*WANTED, (entry("wanted/file"), b"evil")),
    "twice, a link between": (*WANTED, entry("wanted/l", SYM, link="file"), (entry("wanted/l"), b"evil")),
    "a directory again": (*WANTED, entry("wanted", DIR)),
    "below a file": (*WANTED, (entry("wanted/file/x"), b"evil")),
    "in no directory": (*WANTED, (entry("wanted/none/x"), b"evil")),
    "deep": (entry("wanted", DIR), *(entry("wanted" + "/d" * deep, DIR) for deep in range(1, 70))),
    "long": (*WANTED, (entry("wanted/" + "n" * 3000), b"evil")),
    "a name that no file can have": (*WANTED, (entry("wanted/" + "n" * 300), b"evil")),
    "a file and more": ((entry("wanted"), b"good"), (entry("wanted/x"), b"evil")),
    "nothing": (),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_stream_writes_nothing(case: str, home: Path) -> None:
    with pytest.raises(ForeignContent, match=r"^get: '/srv/wanted' of the guest: refused: .*; nothing of it was kept$"):
        Sender(archive(*HOSTILE[case])).get("/srv/wanted", home / "mine")
    assert names(home.parent) == ["home", "home/beside"]
    assert (home / "beside").read_text() == "mine"


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_stream_changes_nothing_of_what_is_there(case: str, home: Path) -> None:
    (home / "mine").mkdir()
    (home / "mine/file").write_text("old")
    with pytest.raises(ForeignContent):
        Sender(archive(*HOSTILE[case])).get("/srv/wanted", home / "mine")
    assert names(home) == ["beside", "mine", "mine/file"]
    assert (home / "mine/file").read_text() == "old"


def test_what_was_asked_for_is_taken(home: Path) -> None:
    stream = archive(
        *WANTED,
        entry("wanted/in", DIR, mode=0o1777),
        (entry("wanted/in/tool", mode=0o6777), b"#!"),
        entry("wanted/in/link", SYM, link="../file"),
        entry("wanted/again", LNK, link="wanted/file"),
    )
    Sender(stream).get("/srv/wanted", home / "mine")
    mine = home / "mine"
    assert names(home) == [
        "beside",
        "mine",
        *(f"mine/{name}" for name in ("again", "file", "in", "in/link", "in/tool")),
    ]
    assert (mine / "in/tool").stat().st_mode & 0o7777 == 0o755, "no set-user-id, no other user writes"
    assert (mine / "in").stat().st_mode & 0o7000 == 0
    assert (mine / "in/link").readlink() == Path("../file")
    assert (mine / "again").read_text() == "good"
    assert (mine / "again").stat().st_nlink == 1, "a file of its own"
    assert mine.stat().st_uid == os.getuid()


def test_one_file(home: Path) -> None:
    Sender(archive((entry("wanted"), b"good"))).get("/srv/wanted", home / "new/mine")
    assert (home / "new/mine").read_text() == "good"
    Sender(archive((entry("wanted"), b"better"))).get("/srv/wanted", home / "new/mine")
    assert (home / "new/mine").read_text() == "better"


def test_a_directory_that_is_there_keeps_its_other_files(home: Path) -> None:
    mine = home / "mine"
    (mine / "in").mkdir(parents=True)
    (mine / "in/own").write_text("own")
    (mine / "file").symlink_to("../beside")
    Sender(archive(*WANTED, entry("wanted/in", DIR), (entry("wanted/in/x"), b"x"))).get("/srv/wanted", mine)
    assert names(mine) == ["file", "in", "in/own", "in/x"]
    assert not (mine / "file").is_symlink(), "a link in the way is replaced, not followed"
    assert (home / "beside").read_text() == "mine"


def test_a_directory_behind_a_link_is_not_gone_into(home: Path) -> None:
    mine = home / "mine"
    mine.mkdir()
    (mine / "in").symlink_to(home.parent)
    with pytest.raises(ForeignContent, match=r"'in' is a directory, and .* is no directory"):
        Sender(archive(*WANTED, entry("wanted/in", DIR), (entry("wanted/in/x"), b"x"))).get("/srv/wanted", mine)
    assert names(mine) == ["in"]


def test_too_much_is_refused_and_not_read_to_its_end(home: Path) -> None:
    limits = untrusted.Limits(bytes=10_000, entries=3)
    big = Sender(archive(entry("wanted", DIR), (entry("wanted/x"), bytes(20_000))))
    with pytest.raises(ForeignContent, match="more than 0 MiB"):
        big.get("/srv/wanted", home / "mine", limits=limits)
    endless = Sender(archive(entry("wanted", DIR), (entry("wanted/x"), bytes(1_000_000))))
    with pytest.raises(ForeignContent, match="more than 0 MiB"):
        endless.get("/srv/wanted", home / "mine", limits=limits)
    assert endless.sent < 20_000, "the rest is not waited for"
    many = archive(entry("wanted", DIR), *((entry(f"wanted/{number}"), b"") for number in range(3)))
    with pytest.raises(ForeignContent, match="more than 3 entries"):
        Sender(many).get("/srv/wanted", home / "mine", limits=limits)
    assert names(home) == ["beside"]


def _sparse(size: int) -> bytes:
    info = entry("wanted")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:398], header[398:410] = b"00000000000\0", b"00000000000\0"
    header[483:495] = b"\x80" + bytes(3) + size.to_bytes(8, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def _pax(size: int) -> bytes:
    """A header with that size of its extended part, and a little of that part."""
    info = entry("wanted", tarfile.XHDTYPE)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 21)


@pytest.mark.parametrize(
    "stream", [_sparse(1 << 50), _pax(1 << 30), _pax(1 << 21)], ids=["sparse", "pax", "pax, there"]
)
def test_bombs(stream: bytes, home: Path) -> None:
    with pytest.raises(ForeignContent):
        Sender(stream).get("/srv/wanted", home / "mine")
    assert names(home) == ["beside"]


def test_a_description_that_is_too_long_is_not_read_into_memory(home: Path) -> None:
    info = entry("wanted")
    info.pax_headers = {"comment": "x" * (untrusted.HEADER_BYTES + 1)}
    with pytest.raises(ForeignContent, match="description takes more than 1024 KiB"):
        Sender(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)).get("/srv/wanted", home / "mine")
    info.pax_headers = {"comment": "x" * 1000}
    Sender(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)).get("/srv/wanted", home / "mine")
    assert names(home) == ["beside", "mine"]


def test_damaged_streams_are_refused_or_what_they_say(home: Path) -> None:
    dice = random.Random(1)
    sound = archive(*WANTED, entry("wanted/in", DIR), (entry("wanted/in/" + "n" * 120), b"x" * 600))
    refused = 0
    for _ in range(600):
        damaged = bytearray(sound)
        for _ in range(dice.choice((1, 1, 3, 40))):
            damaged[dice.randrange(len(damaged))] = dice.choice((0, 0x80, 0xFF, 0x2F, 0x2E, dice.randrange(256)))
        del damaged[dice.randrange(len(damaged)) if dice.random() < 0.2 else len(damaged) :]
        try:
            Sender(bytes(damaged)).get("/srv/wanted", home / "mine")
        except ForeignContent:
            refused += 1
        assert {path.name for path in home.iterdir()} <= {"beside", "mine"}
        assert names(home.parent)[0] == "home"
        assert {path.name for path in home.parent.iterdir()} == {"home"}
    assert refused > 100


def test_a_command_that_failed_is_no_result(home: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        Sender(archive(*WANTED), code=2).get("/srv/wanted", home / "mine")
    assert names(home) == ["beside"]


@pytest.mark.parametrize("guest", ["/", "wanted", "/srv/..", "/srv/../etc"])
def test_paths_that_cannot_be_asked_for(guest: str, home: Path) -> None:
    with pytest.raises(InvalidInput, match="is not valid; give an absolute one, not '/' and without"):
        Sender(b"").get(guest, home / "mine")


# What travels in a cluster.


def _take(data: bytes, where: Path, *, links_anywhere: bool = False) -> Callable[[], None]:
    return lambda: untrusted.place(io.BytesIO(data), ".", where, "artifacts", links_anywhere=links_anywhere)


def test_a_directories_content(home: Path) -> None:
    _take(archive(entry(".", DIR), (entry("./stdout"), b"x")), home)()
    assert names(home) == ["beside", "stdout"]
    for bad in ("../evil", "stdout", "/evil", "./../evil"):
        with pytest.raises(ForeignContent):
            _take(archive(entry(".", DIR), (entry(bad), b"x")), home)()
    with pytest.raises(ForeignContent, match="leads out of it"):
        _take(archive(entry(".", DIR), entry("./stderr", SYM, link="/etc/passwd")), home)()
    assert names(home.parent) == ["home", "home/beside", "home/stdout"]


def test_a_tree_keeps_its_links_and_nothing_is_written_through_them(home: Path) -> None:
    tree = archive(entry(".", DIR), entry("./python", SYM, link="/usr/bin/python3"))
    _take(tree, home / "tree", links_anywhere=True)()
    assert (home / "tree/python").readlink() == Path("/usr/bin/python3")
    through = archive(entry(".", DIR), entry("./l", SYM, link=str(home)), (entry("./l/evil"), b"x"))
    with pytest.raises(ForeignContent, match="lies in no directory"):
        _take(through, home / "other", links_anywhere=True)()
    assert not (home / "evil").exists()


def test_damaged_compression(home: Path) -> None:
    data = bytearray(gzip.compress(archive(*WANTED)))
    data[20] ^= 0xFF
    with gzip.open(io.BytesIO(bytes(data))) as stream, pytest.raises(ForeignContent, match="no sound tar stream"):
        untrusted.place(cast(BinaryIO, stream), "wanted", home / "mine", "artifacts")
