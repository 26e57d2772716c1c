# SPDX-License-Identifier: GPL-2.0-only
"""What is arranged in a guest that has booted, before its first command: control groups; and whether huge pages came.

Over the way in, not by the image's own setup: it works with any root file system.
"""

from __future__ import annotations

import shlex

from .. import specs
from ..config import GuestConfig
from ..sizes import shown

CGROUPS = "/sys/fs/cgroup"
SECONDS = 60.0


def script(config: GuestConfig) -> str:
    """Shell text that ends with 1 and prints the reason when something is refused; empty for nothing to do."""
    lines: list[str] = []
    for pages in specs.huge_pages(config.hugepages):
        file = f"/sys/kernel/mm/hugepages/hugepages-{pages.size >> 10}kB/nr_hugepages"
        lines += [
            f"[ -e {file} ] || fail 'hugepages: this kernel or processor has none of {shown(pages.size)}'",
            f"n=$(cat {file})",
            f'[ "$n" -ge {pages.count} ] || '
            f'fail "hugepages {config.hugepages}: the kernel could reserve $n; give more memory, or reserve fewer"',
        ]
    if config.thp:
        what = f"thp {config.thp}: this kernel has no transparent huge pages"
        lines.append(f"grep -qF '[{config.thp}]' /sys/kernel/mm/transparent_hugepage/enabled || fail '{what}'")
    for group in config.cgroup_list:
        lines += _cgroup(group)
    return "\n".join(['fail() { echo "$*" >&2; exit 1; }', *lines]) if lines else ""


def _cgroup(group: specs.Cgroup) -> list[str]:
    none = f"cgroup {group.name}: the kernel has no control groups of version 2, or the root does not mount them"
    lines = [f"[ -e {CGROUPS}/cgroup.controllers ] || fail {shlex.quote(none)}"]
    path = CGROUPS
    for part in group.name.split("/"):
        for name in group.controllers:
            what = f"cgroup {group.name}: the kernel has no {name} controller"
            lines.append(f"echo +{name} 2>/dev/null >{path}/cgroup.subtree_control || fail {shlex.quote(what)}")
        path = f"{path}/{part}"
        lines.append(f"mkdir -p {path} || exit 1")
    for file, value in group.files:
        what = f"cgroup {group.name}: {file}={value} was refused; see what this kernel's {file} takes"
        lines.append(f"echo {shlex.quote(value)} 2>/dev/null >{path}/{file} || fail {shlex.quote(what)}")
    return lines


def entering(group: str) -> str:
    """Shell words that move the shell that runs them into a control group, before ``exec``; nothing for none."""
    if not group:
        return ""
    procs = f"{CGROUPS}/{group}/cgroup.procs"
    return f"echo 0 >{shlex.quote(procs)} || exit 126; "
