# SPDX-License-Identifier: GPL-2.0-only
"""A suite's machine that grows while its test runs, and whose memory is kept when its kernel is lost."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

from vmtest.results import manifest

SUITE = """\
name: machine
timeouts: {boot: 900, silence: 600, login: 300, command: 600}
kernels: [page-idle]
machines:
  growing: {memory: 384M, memory_max: 640M, plug: ["1s:+256M", "900s:-256M"], dump_on_panic: true, cpus: 1}
tests:
  grows: |
    n=0; while [ "$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)" -lt 500000 ]; do
      n=$((n + 1)); [ $n -lt 5000 ] || exit 1; sleep 0.1
    done
  crashes: echo the-secret-of-this-guest >/dev/kmsg; echo c >/proc/sysrq-trigger
expect:
  - {test: crashes, verdict: panic, reason: it is asked to}
"""


def pages(dump: bytes) -> bytes:
    """The pages of a compressed kdump file (makedumpfile's diskdump format), one after the other."""
    assert dump.startswith(b"KDUMP   ")
    # After a signature, a version and a struct new_utsname: timestamp, status, sizes in blocks.
    _status, block, header, bitmap = struct.unpack_from("<iiii", dump, 8 + 4 + 390 + 6 + 16)
    at, found = (1 + header + bitmap) * block, []
    first = struct.unpack_from("<qIIQ", dump, at)[0]
    for number in range((first - at) // 24):
        offset, size, flags, _ = struct.unpack_from("<qIIQ", dump, at + 24 * number)
        data = dump[offset : offset + size]
        found.append(zlib.decompress(data) if flags & 1 else data)
    return b"".join(found)


def test_a_machine_that_grows_and_one_that_leaves_a_dump(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)
    words = [sys.executable, "-m", "vmtest.cli", "run", str(suite), "-j", "1", "--results", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    grown, crashed = (tmp_path / f"out/guests/page-idle__growing__none__{name}" for name in ("grows", "crashes"))
    told = manifest.read(grown)
    assert told.memory[0].startswith("after 1 s: memory +256M of node 0: plugged 256M, 256M plugged (")
    assert told.memory[1] == "memory -256M of node 0 after 900 s: not done, the command had ended"
    assert told.dump == ""
    assert not (grown / "vmcore").exists()
    told = manifest.read(crashed)
    assert told.dump == "vmcore"
    memory = pages((crashed / "vmcore").read_bytes())
    assert b"the-secret-of-this-guest" in memory
    assert b"sysrq triggered crash" in memory, "the kernel's last words"
    assert len(memory) > 64 << 20
    assert "-no-shutdown" not in (crashed / "qemu.sh").read_text(), "by hand nobody would end it"
