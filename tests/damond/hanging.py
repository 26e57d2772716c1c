# SPDX-License-Identifier: GPL-2.0-only
"""A service that hangs when it is killed: ``python hanging.py MOUNT``; prints a line when that is so.

A client looks a name up and waits for the answer, with the directory's lock. A thread tells the kernel that a name in
that directory is gone, and waits for the lock, in the kernel, where no signal reaches it.
"""

import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from damon.damond.fusemount import mount
from damon.damond.instance import Instance

INIT, LOOKUP, GETATTR = 26, 1, 3
INVAL_ENTRY = 3


def serve(fd: int, asked: threading.Event) -> None:
    """Answer everything but LOOKUP."""
    while True:
        request = os.read(fd, 1 << 20)
        _, opcode, unique = struct.unpack_from("=IIQ", request)
        if opcode == LOOKUP:
            asked.set()
            continue
        answer = b""
        if opcode == INIT:
            answer = struct.pack("=4I2H2I2H8I", 7, 31, 0, 0, 16, 12, 4096, 1, 1, 0, *[0] * 8)
        elif opcode == GETATTR:
            attributes = struct.pack("=6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, os.getuid(), os.getgid(), 0, 0, 0)
            answer = struct.pack("=QII", 1, 0, 0) + attributes
        os.write(fd, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)


def waits(task: int) -> bool:
    return Path(f"/proc/self/task/{task}/stat").read_text().rpartition(")")[2].split()[0] == "D"


def main() -> None:
    directory = Path(sys.argv[1])
    instance = Instance(directory)
    fd = mount(instance.directory)
    asked = threading.Event()
    threading.Thread(target=serve, args=(fd, asked), daemon=True).start()
    client = subprocess.Popen(["stat", str(directory / "x")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    asked.wait()
    notice = struct.pack("=QII", 1, 1, 0) + b"x\0"
    head = struct.pack("=IiQ", 16 + len(notice), INVAL_ENTRY, 0)
    teller = threading.Thread(target=lambda: os.write(fd, head + notice), daemon=True)
    teller.start()
    while not waits(teller.native_id or 0):
        time.sleep(0.01)
    print(client.pid, flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()
