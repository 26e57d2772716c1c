# SPDX-License-Identifier: GPL-2.0-only
"""A person's terminal in a guest, and what goes through a command's streams."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

SECONDS = 600
# A guest has /tmp for itself, and a checkout may be there.
DIRECTORY = Path("/var/tmp")


#: Options, and where the shell starts.
ROOTS = pytest.mark.parametrize(
    ("options", "place"), [(["--snapshot"], "/root"), (["--root", "host"], str(DIRECTORY))], ids=["image", "host"]
)


@ROOTS
def test_shell_has_a_terminal_and_ends_with_its_code(options: list[str], place: str) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "vmtest.cli", "shell", *options],
        timeout=SECONDS,
        dimensions=(33, 77),
        encoding="utf-8",
        cwd=DIRECTORY,
        env={**os.environ, "SHELL": "/bin/sh"},
    )
    try:
        child.expect("guest up")
        # The image's bash has the guest's name and the working directory in its prompt.
        child.expect("root@guest:~# " if place == "/root" else "# ")
        child.sendline("pwd; stty size")
        child.expect(f"[\r\n]{re.escape(place)}\r\n33 77")
        if place == "/root":
            child.sendline("cd /var/loca\t")  # Tab completes
            child.expect("root@guest:/var/local# ")
        child.setwinsize(44, 99)
        child.sendline("sleep 0.5; stty size")
        child.expect("44 99")
        child.sendline("sh -c 'echo be\"\"gun; exec sleep 1000'")
        child.expect("begun")
        child.sendintr()
        child.sendline("echo code=$?")
        child.expect("code=130")
        child.sendline("exit 7")
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 7


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "place"),
    [(["--snapshot"], "/root"), (["--root", "host"], str(DIRECTORY))],
    ids=["image", "host"],
)
def test_every_byte_through_both_streams(options: list[str], place: str) -> None:
    data = random.Random(5).randbytes(8 << 20)
    check = f'[ "$PWD" = {place} ] || exit 1'
    command = [
        sys.executable,
        "-m",
        "vmtest.cli",
        "exec",
        *options,
        "--",
        "sh",
        "-c",
        f"{check}; tee /dev/stderr; kill -9 $$",
    ]
    done = subprocess.run(command, check=False, input=data, capture_output=True, timeout=SECONDS, cwd=DIRECTORY)
    wanted = hashlib.sha256(data).digest()
    assert hashlib.sha256(done.stdout).digest() == wanted
    assert hashlib.sha256(done.stderr).digest() == wanted
    assert done.returncode == 128 + 9
