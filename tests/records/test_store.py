# SPDX-License-Identifier: GPL-2.0-only
"""Growing files: whole at every moment, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import json
import os
import random
import stat
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from damon.records.store import GrowingFile, GrowingList, GrowingZlib, read_lines

PAGE = 4096
Writes = list[tuple[int, bytes]]


def _logged(monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Every write to a file, in order."""
    writes: Writes = []
    pwrite = os.pwrite

    def log(fd: int, data: bytes, at: int) -> int:
        writes.append((at, bytes(data)))
        return pwrite(fd, data, at)

    monkeypatch.setattr(os, "pwrite", log)
    return writes


def _moments(writes: Writes) -> list[bytes]:
    """What a file contains whenever the process is killed: the kernel copies a write page by page."""
    content = bytearray()
    moments: list[bytes] = []
    for at, data in writes:
        while data:
            step = PAGE - at % PAGE
            part, data = data[:step], data[step:]
            content[at : at + len(part)] = part
            at += len(part)
            moments.append(bytes(content))
    return moments


bodies = st.lists(st.text(st.characters(codec="utf-8"), max_size=9000), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(bodies=bodies, filler=st.integers(0, PAGE), seed=st.integers(0, 1000))
@example(bodies=["a", "!"], filler=3345, seed=449)  # the first end, too, would lie in two pages
def test_text_is_whole_at_every_moment(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[str], filler: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("grow") / "file"
    with pytest.MonkeyPatch.context() as monkeypatch:
        writes = _logged(monkeypatch)
        # incompressible, so that ends come to lie anywhere in a page
        noise = "".join(map(chr, random.Random(seed).randbytes(filler)))
        growing = GrowingZlib(path, noise, "]", level=1)
        texts = [noise + "]"]
        so_far = noise
        for number, body in enumerate(bodies):
            so_far += body
            texts.append(f"{so_far}]{number}")
            growing.append(body, f"]{number}")
        growing.close()
    first = len(_moments(writes[:1]))
    seen: list[str] = []
    for moment in _moments(writes)[first - 1 :]:
        text = zlib.decompress(moment).decode()
        if not seen or seen[-1] != text:
            seen.append(text)
    assert seen == texts
    assert "".join(f"{line}\n" for line in read_lines(path)) in (texts[-1], texts[-1] + "\n")


def test_the_end_never_crosses_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = _logged(monkeypatch)
    growing = GrowingZlib(tmp_path / "file", "", "\n]}\n]\n", level=1)
    for size in range(1200):
        before = len(writes)
        growing.append(os.urandom(size % 40).hex(), "\n]}\n]\n")
        at, data = writes[-1]
        assert len(writes) == before + 2
        assert at // PAGE == (at + len(data) - 1) // PAGE, "the last write replaces an end that lies in one page"
    growing.close()


def test_a_full_disk_leaves_what_was_there_and_it_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    growing = GrowingZlib(path, "[", "]")
    growing.append("one ", "]")
    pwrite, room = os.pwrite, 50

    def full(fd: int, data: memoryview, at: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = pwrite(fd, data[:room], at)
        room -= done
        return done

    size = path.stat().st_size
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left") as caught:
        growing.append(os.urandom(10000).hex(), "]")
    assert caught.value.errno == errno.ENOSPC
    assert path.stat().st_size == size
    assert zlib.decompress(path.read_bytes()) == b"[one ]"
    monkeypatch.setattr(os, "pwrite", pwrite)
    growing.append("two", "]")
    growing.close()
    assert zlib.decompress(path.read_bytes()) == b"[one two]"


def test_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list"
    growing = GrowingList(path)
    assert json.loads(path.read_text()) == []
    for number in range(5):
        growing.append(json.dumps({"n": number}))
        assert json.loads(path.read_text()) == [{"n": n} for n in range(number + 1)]

    def full(fd: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as context:
        context.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="full"):
            growing.append("{}")
    growing.close()
    assert len(json.loads(path.read_text())) == 5


def test_a_list_is_whole_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list"
    pwrite, seen = os.pwrite, []

    def look(fd: int, data: bytes, at: int) -> int:
        """What the file contains whenever the process is killed: the kernel copies a write page by page."""
        done = pwrite(fd, bytes(data[: PAGE - at % PAGE]), at)
        if path.exists():
            seen.append(len(json.loads(path.read_text())))
        return done

    with monkeypatch.context() as context:
        context.setattr(os, "pwrite", look)
        growing = GrowingList(path)
        for number in range(400):
            growing.append(json.dumps("x" * (number % 41) * 100))
            assert len(json.loads(path.read_text())) == number + 1
        growing.close()
    assert sorted(set(seen)) == list(range(400))
    assert seen == sorted(seen)
    assert [entry.name for entry in tmp_path.iterdir()] == ["list"]
    assert json.loads(path.read_text()) == ["x" * (number % 41) * 100 for number in range(400)]


def test_a_list_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole up to its end; what lies behind it is of a write that has not come as far as to replace the end."""
    monkeypatch.setattr("damon.records.store.exchange", lambda one, two: False)
    with monkeypatch.context() as context:
        writes = _logged(context)
        growing = GrowingList(tmp_path / "list")
        made = len(writes)  # the file that would have been the second is gone
        for number in range(400):
            growing.append(json.dumps("x" * (number % 41)))
        growing.close()
    lengths = [
        len(json.JSONDecoder().raw_decode(moment.decode())[0]) for moment in _moments(writes[:1] + writes[made:])
    ]
    assert sorted(set(lengths)) == list(range(401))
    assert lengths == sorted(lengths)
    assert [entry.name for entry in tmp_path.iterdir()] == ["list"]


def test_what_a_kill_left_goes_with_the_next_list(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".list.next").symlink_to("mine")
    growing = GrowingList(tmp_path / "list")
    growing.append("1")
    growing.close()
    assert (tmp_path / "mine").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["list", "mine"]


def test_the_file_that_was_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    path.chmod(0o644)
    GrowingFile(path, b"new").close()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "file.old").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "file.old"]


def test_a_file_that_cannot_be_made_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")

    def full(fd: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="full"):
        GrowingFile(tmp_path / "file", b"new")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "mine")]
