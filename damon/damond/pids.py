# SPDX-License-Identifier: GPL-2.0-only
"""``pidof``, ``pgrep`` and ``pkill`` as commands of ``damon exec`` see them: of processes that stand for simulated ones
and for workers, only those of the damond at hand.

The system's own program finds the processes, and what belongs to others is taken out of its answer:

- processes that another damond shows, always;
- on a simulated machine everything that the machine does not have, but for the command's own processes. These are in
  the mount namespace that ``damon exec`` made.
"""

from __future__ import annotations

import getopt
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.damond.client import Client
from damon.damond.placeholder import SHOWN_BY
from damon.damond.runtime import default_mount, socket_path

#: Exit codes, as procps has them.
NONE_FOUND, WRONG_USE, FAILED = 1, 2, 3
_PIDOF: Final = "cd:hmno:qsS:twxz"
_PGREP: Final = "acd:eF:fg:G:hHilLnoO:P:qQr:s:t:u:U:vVwxA"
_PGREP_LONG: Final = (
    "count", "delimiter=", "echo", "list-name", "list-full", "inverse", "lightweight", "full", "pgroup=", "group=",
    "ignore-case", "newest", "oldest", "older=", "parent=", "session=", "terminal=", "euid=", "uid=", "exact",
    "pidfile=", "logpidfile", "runstates=", "ignore-ancestors", "cgroup=", "ns=", "nslist=", "env=", "queue=",
    "require-handler", "signal=", "quick", "help", "version",
)  # fmt: skip
_SIGNAL: Final = re.compile(r"-(\d+|(?:SIG)?[A-Z][A-Z0-9]+)")


@dataclass(frozen=True)
class Own:
    """What is ours: the damond at hand.

    Args:
        pid: the service's.
        shown: of its workers, and of its simulated machine's processes.
        simulated: is its machine simulated?
    """

    pid: int
    shown: frozenset[int]
    simulated: bool

    def has(self, pid: int, proc: Path = Path("/proc")) -> bool:
        """Is ``pid`` to be found?"""
        if pid in self.shown or pid == os.getpid():
            return pid in self.shown
        try:
            if os.readlink(proc / f"{pid}/ns/mnt") == os.readlink(proc / "self/ns/mnt"):
                return True
            environment = (proc / f"{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # it is gone, or may not be looked into
            return not self.simulated and (proc / str(pid)).exists()
        return not self.simulated and not any(word.startswith(f"{SHOWN_BY}=".encode()) for word in environment)


def _ask() -> Own:
    with Client(socket_path(default_mount())) as client:
        answer = client.call("processes")
    return Own(answer["pid"], frozenset(one["pid"] for one in answer["processes"]), answer["simulated"])


def _real(name: str, self_path: str) -> str:
    """The system's program, wherever this one is in ``$PATH``."""
    own = os.path.dirname(os.path.abspath(self_path))
    rest = [entry for entry in os.environ.get("PATH", os.defpath).split(":") if os.path.abspath(entry) != own]
    found = shutil.which(name, path=":".join(rest))
    if found is None:
        raise OSError(f"program: {name}: is not installed; install procps, or use damon pid NAME")
    return found


def _run(words: Sequence[str]) -> str:
    """What the system's program prints; it finds nothing: nothing."""
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, NONE_FOUND):
        raise SystemExit(done.returncode)
    return done.stdout


def _words(options: Sequence[tuple[str, str]]) -> list[str]:
    """``options`` as a command line has them."""
    return [f"{name}={value}" if name.startswith("--") and value else name + value for name, value in options]


def pidof(argv: Sequence[str], real: str, own: Own) -> int:
    options, names = getopt.gnu_getopt(list(argv), _PIDOF)
    given = dict(options)
    kept = [(name, value) for name, value in options if name not in ("-s", "-q", "-S", "-d")]
    pids = [pid for pid in _run([real, *_words(kept), *names]).split() if own.has(int(pid))]
    if "-s" in given:
        pids = pids[:1]
    if pids and "-q" not in given:
        print((given.get("-S") or given.get("-d") or " ").join(pids))
    return 0 if pids else NONE_FOUND


def _began(pid: int) -> int:
    """When a process began, in the clock's ticks; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _found(options: Sequence[tuple[str, str]], patterns: Sequence[str], real: str, own: Own) -> list[str]:
    """The lines of ``pgrep`` that are to be found; newest and oldest are chosen among those."""
    left_out = (
        "-n",
        "--newest",
        "-o",
        "--oldest",
        "-c",
        "--count",
        "-d",
        "--delimiter",
        "-e",
        "--echo",
        "-q",
        "--quick",
    )
    kept = [(name, value) for name, value in options if name not in left_out and name != "--signal"]
    lines = [
        line for line in _run([real, *_words(kept), "--", *patterns]).splitlines() if own.has(int(line.split()[0]))
    ]
    names = {name for name, _ in options}
    for wanted, choose in ((("-n", "--newest"), max), (("-o", "--oldest"), min)):
        if names & set(wanted) and lines:
            lines = [choose(lines, key=lambda line: (_began(int(line.split()[0])), int(line.split()[0])))]
    return lines


def pgrep(argv: Sequence[str], real: str, own: Own) -> int:
    options, patterns = getopt.gnu_getopt(list(argv), _PGREP, list(_PGREP_LONG))
    given = dict(options)
    lines = _found(options, patterns, real, own)
    if "-c" in given or "--count" in given:
        print(len(lines))
    elif lines:
        print((given.get("-d") or given.get("--delimiter") or "\n").join(lines))
    return 0 if lines else NONE_FOUND


def pkill(argv: Sequence[str], real: str, own: Own) -> int:
    words, wanted = list(argv), "TERM"
    for word in words:
        matched = _SIGNAL.fullmatch(word)
        if matched is not None:
            words.remove(word)
            wanted = matched[1]
            break
    options, patterns = getopt.gnu_getopt(words, _PGREP, list(_PGREP_LONG))
    given = dict(options)
    wanted = given.get("--signal", wanted)
    number = int(wanted) if wanted.isdigit() else signal.Signals[f"SIG{wanted.removeprefix('SIG')}"]
    lines = _found(options, patterns, str(Path(real).with_name("pgrep")), own)
    sent = 0
    for pid in (int(line.split()[0]) for line in lines):
        if pid == os.getpid():
            continue
        try:
            os.kill(pid, number)
        except OSError as error:
            print(f"pkill: killing pid {pid} failed: {error.strerror}", file=sys.stderr)
            continue
        sent += 1
        if "-e" in given or "--echo" in given:
            print(f"process {pid} killed")
    return 0 if sent else NONE_FOUND


PROGRAMS: Final[dict[str, Callable[[Sequence[str], str, Own], int]]] = {
    "pidof": pidof, "pgrep": pgrep, "pkill": pkill,
}  # fmt: skip


def main(argv: Sequence[str], self_path: str) -> int:
    """The exit code of the program that ``self_path`` is called like."""
    name = os.path.basename(self_path)
    try:
        real = _real(name, self_path)
        if {"-h", "--help", "-V", "--version"} & set(argv):
            os.execv(real, [real, *argv])
        return PROGRAMS[name](argv, real, _ask())
    except (getopt.GetoptError, KeyError) as error:
        print(f"{name}: {error}: not known below damon exec", file=sys.stderr)
        return WRONG_USE
    except OSError as error:
        print(f"{name}: {error.strerror or error}", file=sys.stderr)
        return FAILED
