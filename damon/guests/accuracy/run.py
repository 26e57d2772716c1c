# SPDX-License-Identifier: GPL-2.0-only
"""A command in a guest, a monitor of one of its programs, and the truth of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.guests.engine import GuestFailed
from damon.guests.machine import harness_errors
from damon.guests.staging import ENV, PYTHON, package_trees
from damon.quoting import cut, quoted
from vmtest import GuestConfig, Tree
from vmtest.truth import record as truth

#: What can see accesses: the kernel's own DAMON, and this project's with either way to see accesses of processes.
MONITORS: Final = {"host": ["--engine", "host"], "page_idle": ["--access", "page_idle"], "rwp": ["--access", "rwp"]}
KERNEL: Final = "page-idle"
_MOST: Final = 256 << 20
_HEAD: Final = re.compile(rb"pids((?: [0-9]{1,10}){1,100})\n")
_LINES: Final = 20
#: Arguments: text to wait for or nothing, name of the program or nothing, seconds or 0, words of `damon record`, "--",
#: the command. Its output goes to standard error; standard output has the processes and then the record.
_DRIVER: Final = """
since=$1; program=$2; seconds=$3; shift 3
record=; while [ "$1" != -- ]; do record="$record $1"; shift; done; shift
"$@" >/run/accuracy.out 2>&1 &
command=$!
until [ -z "$since" ] || grep -qF -- "$since" /run/accuracy.out; do
    kill -0 $command 2>/dev/null || { cat /run/accuracy.out >&2; echo "it ended before it printed that" >&2; exit 1; }
    sleep 0.1
done
pids=$command; tries=0
while [ -n "$program" ]; do
    pids=$(pgrep -x -- "$program") && break
    tries=$((tries + 1))
    [ $tries -lt 100 ] && kill -0 $command 2>/dev/null || { echo "no process is called $program" >&2; exit 1; }
    sleep 0.1
done
words=; for pid in $pids; do words="$words --pid $pid"; done
$record $words -o /run/accuracy.data >&2 &
monitor=$!
if [ $seconds != 0 ]; then
    ( sleep $seconds; kill -TERM $monitor $command ) 2>/dev/null &
fi
wait $monitor; code=$?
kill -TERM $command 2>/dev/null; wait $command
tail -n 5 /run/accuracy.out >&2
[ -s /run/accuracy.data ] || exit $((code ? code : 1))
echo pids $pids; cat /run/accuracy.data
"""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is run, and how it is monitored.

    Args:
        command: words.
        program: name of the program whose processes are monitored; empty: the command itself.
        since: the monitor begins when the command prints this; empty: at once.
        seconds: the monitor and the command end after so long; 0: with the command.
        attrs: options of ``damon record`` for intervals and regions.
        aggr_us: one snapshot's time.
        kernel: of the guest.
        memory: of the guest, bytes or "1G".
        packages: Debian packages that the guest has besides.
        trees: directories that are copied in.
        cpus: processors; several take turns of up to some ms, so that a monitor beside a busy program wakes late.
        thp: transparent huge pages: "always", "madvise", "never" or None.
        icount: an instruction takes ``2**icount`` ns.
        env: of the command.
    """

    command: Sequence[str]
    program: str = ""
    since: str = ""
    seconds: float = 0.0
    attrs: Sequence[str] = ()
    aggr_us: int = 100_000
    kernel: str = KERNEL
    memory: str = "1G"
    packages: Sequence[str] = ()
    trees: Sequence[tuple[Path, str]] = ()
    cpus: int = 1
    thp: str | None = None
    icount: int = 0
    env: Sequence[tuple[str, str]] = ()

    def config(self) -> GuestConfig:
        """The guest, checked.

        Raises:
            InvalidInput: there is none such.
            MissingCapability: this machine lacks something.
        """
        with harness_errors("accuracy"):
            return GuestConfig(
                kernel=self.kernel,
                memory=self.memory,
                cpus=self.cpus,
                packages=tuple(self.packages),
                trees=(*package_trees(), *(Tree(host, inside) for host, inside in self.trees)),
                env={**ENV, **dict(self.env)},
                thp=self.thp,
                swap="zram:512M",
                # Counted: neither the plugin nor what else this machine does changes what is measured.
                icount=self.icount,
            )

    def driver(self, monitor: str) -> list[str]:
        """What runs in the guest."""
        words = [PYTHON, "-m", "damon", "record", "--linux", *MONITORS[monitor], "--ops", "vaddr", "--quiet"]
        words += ["--accesses-only", *self.attrs]
        head = [self.since, self.program, f"{self.seconds:g}"]
        return ["sh", "-c", _DRIVER, "sh", *head, *words, "--", *self.command]


@dataclass(frozen=True)
class Ran:
    """Files of one run: what the monitor recorded of which processes, and the truth."""

    record: Path
    pids: tuple[int, ...]
    raw: Path


def run(
    study: Study, monitor: str, directory: Path, say: Callable[[str], None] = lambda line: None
) -> Ran:  # fmt: skip
    """One run in a guest; its files are in ``directory``.

    Raises:
        InvalidInput, MissingCapability: before anything is started.
        GuestFailed: it has no result.
    """
    if monitor not in MONITORS:
        raise InvalidInput(f"engine: {quoted(monitor)}: is unknown; give some of {', '.join(MONITORS)}")
    out, lines = bytearray(), bytearray()

    def keep(data: bytes) -> None:
        out.extend(data[: max(_MOST - len(out), 0)])

    def tell(data: bytes) -> None:
        lines.extend(data)
        del lines[: -(1 << 14)]
        say(cut(data.decode(errors="replace").strip().rpartition("\n")[2]))

    raw = directory / f"{monitor}.raw"
    # Four windows a snapshot, which do not begin and end together.
    window = max(study.aggr_us * 250, 5_000_000)
    with harness_errors(monitor):
        config = study.config()
        say("booting")
        options = truth.Options(output=raw, window_ns=window)
        done = truth.record(config, options, truth.Command(study.driver(monitor), keep, tell))
    head = _HEAD.match(out)
    if done.returncode or head is None:
        last = lines.decode(errors="replace").strip().splitlines()[-_LINES:]
        raise GuestFailed(f"{monitor}: the run in the guest failed ({done.returncode}): {cut(' | '.join(last))}")
    path = directory / f"{monitor}.data"
    path.write_bytes(out[head.end() :])
    pids = tuple(map(int, head[1].split()))
    (directory / f"{monitor}.pids").write_text(" ".join(map(str, pids)) + "\n")
    return Ran(path, pids, raw)
