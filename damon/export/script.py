# SPDX-License-Identifier: GPL-2.0-only
"""A policy as a POSIX shell script that writes to the kernel's sysfs tree, each write checked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from damon.export.policy import Policy
from damon.host import staging
from damon.host.staging import Line
from damon.model.context import DamonCtx
from damon.version import __version__

_FILTER: Final = re.compile(r"schemes/(\d+)/(core_filters|ops_filters|filters)/")
_PID: Final = re.compile(r"targets/\d+/pid_target")
_REGION: Final = re.compile(r"targets/(\d+)/regions/\d+/(start|end)")

_COUNTS: Final = ("nr_filters", "nr_preps", "nr_probes", "nr_dests", "nr_goals")

_HEAD: Final = """\
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# {title}
{stubs}#
# usage: sh {file}{arguments}    start; root
#        sh {file} stop    end what this script has started
# DAMON_ADMIN names another directory in place of /sys/kernel/mm/damon/admin.

set -u
kdamonds=${{DAMON_ADMIN:-/sys/kernel/mm/damon/admin}}/kdamonds
nr=0 # kdamonds that were made; all are taken away if anything fails

say() {{
	printf '%s\\n' "${{0##*/}}: $1" >&2
}}

clear_up() {{
	index=0
	while [ "$index" -lt "$nr" ]; do
		[ "$(cat "$kdamonds/$index/state" 2>/dev/null)" = on ] && echo off > "$kdamonds/$index/state"
		index=$((index + 1))
	done
	echo 0 > "$kdamonds/nr_kdamonds" || say "$kdamonds/nr_kdamonds: it could not be set back to 0"
}}

fail() {{
	say "$1"
	[ "$nr" -gt 0 ] && clear_up
	exit 1
}}

# put FILE VALUE [DEFAULT]: DEFAULT is what kernels without that file do
put() {{
	if [ ! -e "$place/$1" ]; then
		[ "$#" -eq 3 ] && [ "$2" = "$3" ] && return
		fail "$place/$1: $2: this kernel's DAMON has no such file; use a newer kernel, or another value"
	fi
	# not the shell's own printf: dash's prints "I/O error" for every error
	why=$({{ env printf '%s\\n' "$2" > "$place/$1"; }} 2>&1) ||
		fail "$place/$1: $2: the kernel refuses it: ${{why##*: }}; correct the value, and start again"
}}

[ -e "$kdamonds/nr_kdamonds" ] ||
	fail "$kdamonds: this kernel has no DAMON, or hides it; boot one with CONFIG_DAMON_SYSFS, and be root"
old=$(cat "$kdamonds/nr_kdamonds") || fail "$kdamonds/nr_kdamonds: it cannot be read; be root"
if [ "$#" -eq 1 ] && [ "$1" = stop ]; then
	[ "$old" -eq {nr} ] || fail "$kdamonds/nr_kdamonds: $old: this script makes {nr}; nothing of it runs"
	nr={nr}
	clear_up
	exit 0
fi
[ "$#" -eq {nr_pids} ] || fail "$#: arguments; give {pids}"
{checks}[ "$old" -eq 0 ] ||
	fail "$kdamonds/nr_kdamonds: $old: another user has DAMON's tree; let it end, and write 0 there"
{ram}trap 'fail "interrupted"' HUP INT TERM
place=$kdamonds
put nr_kdamonds {nr}
nr={nr}
"""
_CHECK: Final = """\
for pid in "$@"; do
	case $pid in '' | *[!0-9]*) fail "$pid: it is not a process id; give {pids}" ;; esac
	[ -d "/proc/$pid" ] || fail "$pid: there is no such process; give {pids}"
done
"""
_RAM: Final = """\
# All System RAM, from its first to its last byte.
ram=$(sed -n 's/^\\([0-9a-f]*\\)-\\([0-9a-f]*\\) : System RAM$/\\1 \\2/p' /proc/iomem)
ram_start=$((0x$(printf '%s' "$ram" | sed -n '1s/ .*//p')))
ram_end=$((0x$(printf '%s' "$ram" | sed -n '$s/.* //p') + 1))
[ "$ram_end" -gt 1 ] || fail "/proc/iomem: it shows no addresses of System RAM; be root"
"""


def script(policy: Policy) -> str:
    """The text of the script; its arguments are the process ids of the policy's targets, in order.

    Raises:
        InvalidInput: a cgroup that the machine does not have.
    """
    nr_pids, nr = len(policy.processes()), len(policy.ctxs)
    names = [f"PID{index}" for index in range(nr_pids)] if nr_pids > 1 else ["PID"] * nr_pids
    pids = " ".join(names) or "none"
    head = _HEAD.format(
        title=f"{policy.file} for the kernel's DAMON, by sysfs; written by damon export (pydamon {__version__})",
        stubs=stubs(policy, "# "), file=f"{policy.name}.sh", arguments="".join(f" {name}" for name in names),
        nr=nr, nr_pids=nr_pids, pids=pids, checks=_CHECK.format(pids=pids) if nr_pids else "",
        ram=_RAM if policy.whole_ram else "",
    )  # fmt: skip
    lines = [head]
    for index, ctx in enumerate(policy.ctxs):
        lines.append(f"\nplace=$kdamonds/{index}/contexts\nput nr_contexts 1\nplace=$place/0\n")
        lines.extend(f"{line}\n" for line in _context(policy, ctx))
    lines.append("\n")
    lines.extend(f"place=$kdamonds/{index}\nput state on\n" for index in range(nr))
    lines.append("trap - HUP INT TERM\n")
    return "".join(lines)


def stubs(policy: Policy, prefix: str) -> str:
    """What was taken out, as comments, each with its Python below it."""
    lines = []
    for stub in policy.stubs:
        lines += [str(stub), *(f"    {line}" for line in stub.source.splitlines())]
    return "".join(f"{prefix}{line}".rstrip() + "\n" for line in lines)


def _context(policy: Policy, ctx: DamonCtx) -> Iterator[str]:
    pid = 1 + sum(len(before.targets) for before in policy.ctxs[: policy.ctxs.index(ctx)] if before.ops.has_pid)
    lines = list(staging.context(ctx, ctx.schemes, lambda path: True, policy.cgroup))
    last = -1
    for line in lines:
        of_filters, of_region = _FILTER.match(line.path), _REGION.match(line.path)
        if of_filters is not None:
            if int(of_filters[1]) != last:
                last = int(of_filters[1])
                yield from _filters(policy, ctx, last)
        elif _PID.match(line.path):
            yield f'put {line.path} "${{{pid}}}"'
            pid += 1
        elif of_region is not None and ctx.targets[int(of_region[1])] in policy.whole_ram:
            value = f"ram_{of_region[2]} / {ctx.addr_unit}" if ctx.addr_unit != 1 else f"ram_{of_region[2]}"
            yield f'put {line.path} "$(({value}))"'
        elif not _says_nothing(line):
            yield _put(line)


def _filters(policy: Policy, ctx: DamonCtx, index: int) -> Iterator[str]:
    """Kernels before 6.14 have one list."""
    scheme = ctx.schemes[index]
    if not scheme.core_filters and not scheme.ops_filters:
        return
    both = list(staging.filters(index, scheme, lambda path: True, policy.cgroup))
    one = list(staging.filters(index, scheme, lambda path: False, policy.cgroup))
    yield f'if [ -d "$place/schemes/{index}/core_filters" ]; then'
    yield from _indented(both)
    yield "else"
    yield from _indented(one)
    yield "fi"


def _indented(lines: Sequence[Line]) -> Iterator[str]:
    yield from (f"\t{_put(line)}" for line in lines if not _says_nothing(line))


def _says_nothing(line: Line) -> bool:
    """A list of a fresh context is empty, and kernels without it have none."""
    return line.text == "0" and line.path.rpartition("/")[2] in _COUNTS


def _put(line: Line) -> str:
    words = ["put", line.path, shlex.quote(line.text)]
    if line.absent is not None:
        words.append(shlex.quote(staging.show(line.absent)))
    return " ".join(words)
