# SPDX-License-Identifier: GPL-2.0-only
"""A command in a guest, with the truth of what it accesses written to a raw file as it runs."""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ..config import GuestConfig
from ..errors import CommandTimeout, InvalidInput
from ..guest import Guest
from ..images.arch import X86_64
from ..quoting import quoted
from ..ssh.process import Result
from . import programs
from .form import Header, text_chunk

#: Where the agent and its FIFO are in the guest.
PLACE: Final = "/run/vmtest-truth"
_PAGE: Final = 4096
#: q35: with so much memory or more, what is above 2 GiB lies behind a hole that ends at 4 GiB.
_WITH_HOLE: Final = 0xB0000000
_BELOW: Final = 0x80000000
_ABOVE: Final = 1 << 32
_SET_UP_S: Final = 60.0
_FLUSH: Final = 1 << 20
_MOST_NOTES: Final = 1 << 16

Sink = Callable[[bytes], object]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How truth is recorded.

    Args:
        output: the raw file; replaced when it is there.
        interval_ns: a frame was accessed in such an interval, or not.
        window_ns: of so long, intervals are added up.
        look_ms: as often the agent notes which process has which frame, where that takes at most a tenth of the time.
        only: processes of this name; empty: all of the command's.
        begin, end: user addresses that count.
        since: recording begins when the command prints this; empty: at its start.
        exact: count each access as well.
    """

    output: Path
    interval_ns: int = 5_000_000
    window_ns: int = 100_000_000
    look_ms: int = 200
    only: str = ""
    begin: int = 0
    end: int = 1 << 63
    since: str = ""
    exact: bool = False

    def __post_init__(self) -> None:
        if not 10**5 <= self.interval_ns <= 10**10:
            raise InvalidInput(f"interval: {self.interval_ns} ns: is out of range; give 100us to 10s")
        if not self.interval_ns <= self.window_ns <= 60000 * self.interval_ns:
            raise InvalidInput(
                f"window: {self.window_ns} ns: is shorter than an interval or longer than 60000; give one between"
            )
        if not 0 <= self.begin < self.end <= 1 << 63:
            raise InvalidInput(f"range: {self.begin:#x}-{self.end:#x}: is not one of user addresses; give BEGIN-END")
        if not self.only.isprintable() or len(self.only) > 15 or self.only == "-" or " " in self.only:
            raise InvalidInput(f"only: {quoted(self.only)}: is not the name of a program (15 characters); give one")


def configured(config: GuestConfig, options: Options, plugin: Path) -> GuestConfig:
    """The guest with the plugin.

    Raises:
        InvalidInput: such a guest has no truth.
    """
    _refuse_others(config)
    words = {
        "out": str(options.output),
        "frames": str(config.memory_bytes // _PAGE),
        "vcpus": str(config.cpus),
        "interval": str(options.interval_ns),
        "window": str(options.window_ns),
        "count": "on" if options.exact else "off",
        "low": f"{options.begin:x}",
        "high": f"{options.end:x}",
    }
    nodes = enumerate(config.layout.nodes) if config.numa > 1 else ()
    pairs = [*words.items(), *(("node", f"memory{n}:{node.memory // _PAGE}") for n, node in nodes if node.memory)]
    text = ",".join([_comma(plugin), *(f"{name}={_comma(value)}" for name, value in pairs)])
    return replace(config, accelerator="tcg", qemu_args=(*config.qemu_args, "-plugin", text))


def _refuse_others(config: GuestConfig) -> None:
    others = {
        f"kernel: {config.kernel}: is not of x86-64, as the agent's marks are": config.arch is not X86_64,
        f"memory_max: {config.memory_max}: QEMU gives plugins wrong addresses of it": config.memory_max is not None,
        "snapshot: True: the plugin has to be there from the boot on": config.snapshot,
        "accelerator: kvm: only the emulation shows accesses": config.accelerator == "kvm",
    }
    for what, there in others.items():
        if there:
            raise InvalidInput(f"truth: {what}; leave it out")


def _comma(text: Path | str) -> str:
    return str(text).replace(",", ",,")


def header(config: GuestConfig, options: Options, command: Sequence[str]) -> Header:
    """What the file of such a run begins with."""
    memory = config.memory_bytes
    hole = memory >= _WITH_HOLE
    about = {
        "command": list(command),
        "kernel": str(config.kernel),
        "memory": memory,
        "cpus": config.cpus,
        "only": options.only,
        "range": [options.begin, options.end],
        "since": options.since,
    }
    return Header(
        options.interval_ns, options.window_ns, options.exact, memory // _PAGE, (_BELOW if hole else memory) // _PAGE,
        (_ABOVE - _BELOW) // _PAGE if hole else 0, about,
    )  # fmt: skip


class _Maps:
    """What the agent writes, into the file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._waiting = bytearray()
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        with self._lock:
            self._waiting += data
            # At an end of a look, so that what a kill leaves is whole.
            if len(self._waiting) >= _FLUSH or b"\nend " in data or data.startswith(b"end "):
                self._flush()

    def _flush(self) -> None:
        for at in range(0, len(self._waiting), _FLUSH):
            os.write(self._descriptor, text_chunk(bytes(self._waiting[at : at + _FLUSH])))
        self._waiting.clear()

    def close(self) -> None:
        with self._lock:
            self._flush()
            os.close(self._descriptor)


@dataclass
class _Since:
    """Passes output on, and calls ``found`` once when a text has come."""

    text: bytes
    found: Callable[[], None]
    sinks: Mapping[str, Sink]
    _before: dict[str, bytes] = field(default_factory=dict)
    _over: bool = False

    def sink(self, name: str) -> Sink:
        def write(data: bytes) -> None:
            self.sinks[name](data)
            if self._over or not self.text:
                return
            seen = self._before.get(name, b"") + data
            if self.text in seen:
                self._over = True
                self.found()
            self._before[name] = seen[-len(self.text) :]

        return write


@dataclass(frozen=True)
class Command:
    """What is run.

    Args:
        words: program and arguments, run as root.
        stdout, stderr: called with each piece of its output.
        timeout: seconds; None: as long as it takes.
        cwd: directory in the guest.
    """

    words: Sequence[str]
    stdout: Sink
    stderr: Sink
    timeout: float | None = None
    cwd: str | None = None


def record(
    config: GuestConfig, options: Options, command: Command, say: Callable[[str], None] = lambda line: None
) -> Result:
    """Boot an emulated guest, run a command in it and write the truth of it; the result is the command's.

    Raises:
        InvalidInput: the guest can have no truth, or the file cannot be written.
        MachineLacks: there is no compiler, no QEMU.
        CommandTimeout: not in time; what was recorded until then is there.
        GuestLost: the guest is gone; what was recorded until then is there.
    """
    built = programs.directory()
    options = replace(options, output=options.output.absolute())
    guest_config = configured(config, options, built / programs.PLUGIN)
    _begin_file(options.output, header(config, options, command.words))
    with Guest(guest_config) as guest:
        say(f"guest up ({guest.accelerator})")
        guest.put(built / programs.AGENT, f"{PLACE}/agent")
        guest.run(f"mkfifo {PLACE}/maps", timeout=_SET_UP_S, cgroup="", check=True)
        with contextlib.closing(_Maps(options.output)) as maps:
            reader = guest.popen(["cat", f"{PLACE}/maps"], stdout=maps.write, cgroup="")
            result = _run(guest, options, command)
            reader.wait(_SET_UP_S)
    return result


def _run(guest: Guest, options: Options, command: Command) -> Result:
    inside = [f"{PLACE}/agent", f"{PLACE}/maps", str(options.look_ms), options.only or "-"]
    inside += ["signal" if options.since else "now", *command.words]
    line = f"echo $$ >{PLACE}/pid; exec {shlex.join(inside)}"

    def begin() -> None:
        guest.popen(f"kill -USR1 $(cat {PLACE}/pid)", cgroup="")

    since = _Since(options.since.encode(), begin, {"stdout": command.stdout, "stderr": command.stderr})
    process = guest.popen(line, cwd=command.cwd, stdout=since.sink("stdout"), stderr=since.sink("stderr"))
    try:
        return process.wait(command.timeout)
    except CommandTimeout:
        guest.run(f"kill -TERM $(cat {PLACE}/pid)", cgroup="")
        raise


def _begin_file(path: Path, head: Header) -> None:
    try:
        if path.exists() and not path.is_file():
            raise InvalidInput(f"output: {quoted(str(path))}: is not a file; give the name of one")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(head.bytes())
    except OSError as error:
        raise InvalidInput(f"output: {quoted(str(path))}: {error.strerror}; give another place") from error
