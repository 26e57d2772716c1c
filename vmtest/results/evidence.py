# SPDX-License-Identifier: GPL-2.0-only
"""What is kept of a guest beside its console: its tasks when it hangs, a QEMU command line to paste, its kernel."""

from __future__ import annotations

import contextlib
import platform
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from ..errors import HarnessError
from ..guest import Guest
from ..images.arch import X86_64, Architecture
from ..images.hostpkgs import program
from ..ssh import seed
from ..ssh.keys import KeyPair

_LINUX = re.compile(r"Linux version (\S+)")


def kernel_release(console: str) -> str:
    """The release that the console names, or nothing."""
    match = _LINUX.search(console)
    return match[1] if match else ""


def keep_command_line(guest: Guest, directory: Path, kernel: Path, rootfs: Path) -> None:
    """Writes ``qemu.sh``, which boots the same guest by hand: console on the terminal, SSH with a key beside it.

    The directories that were copied into the guest are not part of it: ``vmtest rerun`` has them.
    """
    if not guest.command_line:
        return
    host, client = KeyPair.fresh(), KeyPair.fresh()
    files = {
        "host_key": (host.private, 0o600),
        "authorized_keys": (client.public_line, 0o600),
        "settings": (seed.settings(guest.config), 0o644),
    }
    seed.write(directory / "seed.tar", files, ())
    key = directory / "ssh_key"
    key.touch(mode=0o600)  # before there is anything to read in it
    key.write_text(client.private)
    words = [_by_hand(word) for word in _own_console(guest.command_line)]
    here, swap = '"$here"', guest.config.swap_device
    lines = [
        "#!/bin/sh",
        f"# The guest by hand, its console here; ends with: poweroff -f. Kernel {kernel.name}, root {rootfs.name}.",
        '# In another terminal: ssh -i "$here"/ssh_key -p 2222 root@127.0.0.1',
        'here=$(cd "$(dirname "$0")" && pwd)',
    ]
    if swap and swap.kind == "disk":
        lines.append(f"[ -e {here}/swap.img ] || truncate -s {swap.size} {here}/swap.img")
    script = directory / "qemu.sh"
    script.write_text("\n".join([*lines, "exec " + " ".join(words), ""]), encoding="utf-8", errors="surrogateescape")
    script.chmod(0o755)


def _own_console(command: list[str]) -> Iterator[str]:
    """A command line with its console on the terminal and without a monitor; one from a snapshot boots."""
    words = iter(command)
    for word in words:
        if word == "-no-shutdown":  # the script has no monitor to end it
            continue
        value = next(words) if word in {"-chardev", "-mon", "-incoming"} else ""
        if word in {"-mon", "-incoming"} or "id=monitor" in value:
            continue
        yield word
        if value:
            yield "stdio,id=console,signal=off" if "id=console" in value else value


def _by_hand(word: str) -> str:
    """A word for the shell, with the run's own files beside the script and a fixed port."""
    word = word.replace("hostfwd=tcp:127.0.0.1:0-", "hostfwd=tcp:127.0.0.1:2222-").replace(" vmtest.hold", "")
    word = re.sub(r"^memory-backend-file,(.*),mem-path=.*,share=\w+$", r"memory-backend-ram,\1", word)
    match = re.search(r"/[^,=]*/(seed\.tar|swap\.img)", word)
    if match is None:
        return shlex.quote(word)
    before, after = word[: match.start()], word[match.end() :]
    return f'{shlex.quote(before)}"$here"/{match[1]}{shlex.quote(after) if after else ""}'


def keep_kernel_config(directory: Path, config: Path | None) -> None:
    """Copies the kernel's configuration, where there is one."""
    if config is not None and config.is_file():
        shutil.copyfile(config, directory / "kernel.config")


def versions(archs: Iterable[Architecture] = (X86_64,)) -> dict[str, str]:
    """Versions of all that takes part on this host in guests of some architectures."""
    found = {"python": platform.python_version(), "host": platform.release(), "machine": platform.machine()}
    for name in ("pydamon", "paramiko", "pexpect", "qemu.qmp", "msgspec", "PyYAML", "psutil"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    for arch in archs:
        with contextlib.suppress(HarnessError):
            found["qemu" if arch is X86_64 else f"qemu {arch.name}"] = _qemu_version(program(arch.qemu))
    return found


def _qemu_version(path: str) -> str:
    import subprocess

    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.search(r"version (.*)", done.stdout)
    return match[1] if match else "unknown"
