# SPDX-License-Identifier: GPL-2.0-only
"""Random writes to every file by several writers at once, directories vanishing under them; then many clients.

``DAMOND_FUZZ_WRITES`` is their number; 100000 take one to three minutes.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from pathlib import Path

from damon.modules.sysfs.kdamonds import COMMANDS
from tests.damond.conftest import Damond
from tests.waiting import HANG_S

WRITES = int(os.environ.get("DAMOND_FUZZ_WRITES", "12000"))
WRITERS = 4
EXPECTED = {
    errno.EINVAL, errno.ERANGE, errno.EBUSY, errno.ENOENT, errno.ENODEV, errno.EACCES, errno.ENOMEM, errno.ECANCELED,
    errno.ENOTDIR,
}  # fmt: skip
WORDS = (
    *(f"{word}{end}".encode() for word in COMMANDS for end in ("", "\n")),
    *b"Y N paddr vaddr fvaddr pageout lru_prio migrate_hot addr target memcg free_mem_rate temporal".split(),
    *b"0 1 2 3 7 4096 5000 100000 1073741824 -1 0x10 2147483648 18446744073709551615 18446744073709551616".split(),
    *(b"1\n", b"", b"\n", b"\0", b"1\0x", b"\xff\xfe", b"x" * 5000, b"1 2", b"/", b"9" * 40),
)
#: As a number of directories these are granted, and each walk of the tree then takes minutes.
MANY = (b"4096", b"5000", b"100000")


class Writer(threading.Thread):
    """Writes at random, and remembers what it must not have seen."""

    def __init__(self, top: Path, seed: int, writes: int) -> None:
        super().__init__(daemon=True)
        self.top, self.random, self.left = top, random.Random(seed), writes
        self.surprises: list[str] = []
        self.refused = self.taken = 0
        self.files: list[str] = []

    def run(self) -> None:
        kept: list[int] = []
        while self.left:
            if self.left % 150 == 0 or not self.files:
                self.files = self._list()
            path = self.random.choice(self.files)
            if "kdamonds/" not in path and self.random.random() < 0.9:
                continue
            self.left -= 1
            try:
                self._write(path, kept)
                self.taken += 1
            except OSError as error:
                self.refused += 1
                if error.errno not in EXPECTED:
                    self.surprises.append(f"{path}: {error}")
        for fd in kept:
            os.close(fd)

    def _list(self) -> list[str]:
        found = []
        for directory, directories, files in os.walk(self.top):
            directories[:] = [name for name in directories if not name.isdigit() or int(name) < 3]
            found += [os.path.join(directory, name) for name in files]
        return found

    def _write(self, path: str, kept: list[int]) -> None:
        value = self.random.choice(WORDS)
        if path.rsplit("/", 1)[-1].startswith("nr_") and (value in MANY or self.random.random() < 0.9):
            value = self.random.choice((b"1", b"2\n", b"1", b"3", b"0"))
        if path.endswith("_us") or "interval" in path:  # a command waits as long as these say
            value = self.random.choice((b"0", b"5000", b"20000\n", b"100000", b"-1", b"x", b""))
        fd = os.open(path, os.O_RDWR if self.random.random() < 0.3 else os.O_WRONLY)
        try:
            os.write(fd, value)
            if self.random.random() < 0.02 and len(kept) < 50:
                kept.append(os.dup(fd))
            if kept and self.random.random() < 0.1:
                os.pwrite(self.random.choice(kept), value, self.random.choice((0, 3, 5000)))
        finally:
            os.close(fd)


def test_random_writes(damond: Damond) -> None:
    writers = [Writer(damond.mount, seed, WRITES // WRITERS) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(max(HANG_S, WRITES / 10))
        assert not writer.is_alive(), "a write hangs"
    assert [surprise for writer in writers for surprise in writer.surprises] == []
    assert min(writer.taken for writer in writers) > 100
    said = damond.log.read_text()
    assert "Traceback" not in said
    assert damond.process.poll() is None
    # Consistent: every name that is listed can be read, or is gone again by a word of its own.
    for directory, directories, files in os.walk(damond.mount):
        directories[:] = [name for name in directories if not name.isdigit() or int(name) < 20]
        for name in files:
            path = Path(directory, name)
            if path.stat().st_mode & 0o400:
                assert path.read_text(errors="replace").endswith("\n") or path.stat().st_size == 4096
    kdamonds = damond.admin / "kdamonds"
    for number in range(int((kdamonds / "nr_kdamonds").read_text())):
        try:
            (kdamonds / str(number) / "state").write_text("off")
        except OSError as error:
            assert error.errno == errno.EINVAL  # never started
    for module in (damond.mount / "module").iterdir():
        (module / "parameters/enabled").write_text("N")
    (kdamonds / "nr_kdamonds").write_text("0")
    assert damond.end() == 0, damond.log.read_text()[-3000:]
    print({"refused": sum(writer.refused for writer in writers)})


def test_many_clients_lose_no_update(damond: Damond) -> None:
    """Each of 16 clients owns a kdamond's directory: whatever it writes stands until it writes again."""
    (damond.admin / "kdamonds/nr_kdamonds").write_text("16")
    wrong: list[str] = []

    def client(index: int) -> None:
        one = damond.admin / "kdamonds" / str(index)
        draw = random.Random(index)
        try:
            _until_free(one / "contexts/nr_contexts", "1")
            _until_free(one / "contexts/0/schemes/nr_schemes", "1")
            for _ in range(40):
                value = str(draw.randrange(1 << 64))
                path = one / f"contexts/0/schemes/0/access_pattern/{draw.choice(('sz', 'age', 'nr_accesses'))}/max"
                path.write_text(value)
                if path.read_text() != f"{value}\n":
                    wrong.append(f"{path}: {value}")
        except OSError as error:
            wrong.append(f"client {index}: {error}")

    clients = [threading.Thread(target=client, args=(index,)) for index in range(16)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(HANG_S)
    assert wrong == []
    assert "Traceback" not in damond.log.read_text()


def _until_free(path: Path, value: str) -> None:
    """Write what takes the tree's lock."""
    while True:
        try:
            path.write_text(value)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.001)
