# SPDX-License-Identifier: GPL-2.0-only
"""Which others on this system use the accessed bits and idle flags that monitoring from user space goes by.

Nothing is written, and only what may be read is read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

log = logging.getLogger("damon.linux")

_BITMAP_END: Final = "/kernel/mm/page_idle/bitmap"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def kernel_damon(sys: Path) -> list[str]:
    """What of the kernel's own DAMON is active, by its place below ``sys``."""
    admin = sys / "kernel/mm/damon/admin/kdamonds"
    found = [
        f"kdamond {state.parent.name} of {sys}/kernel/mm/damon (process {_text(state.with_name('pid')) or '?'})"
        for state in sorted(admin.glob("[0-9]*/state"))
        if _text(state) == "on"
    ]
    for module in sorted((sys / "module").glob("damon_*/parameters")):
        pid = _text(module / "kdamond_pid")
        running = pid not in ("", "-1")
        if running or _text(module / "enabled") == "Y":
            found.append(f"the kernel's module {module.parent.name}" + (f" (process {pid})" if running else ""))
    return found


def _descriptors(proc: Path) -> Iterator[tuple[int, str]]:
    """Process and target of each open file that may be looked at."""
    for process in proc.glob("[0-9]*"):
        try:
            for fd in (process / "fd").iterdir():
                try:
                    yield int(process.name), os.readlink(fd)
                except OSError:
                    continue
        except OSError:  # gone, or another user's
            continue


def bitmap_readers(proc: Path, own: int) -> list[str]:
    """Processes but ``own`` that have the idle bitmap open."""
    pids = {pid for pid, target in _descriptors(proc) if pid != own and target.endswith(_BITMAP_END)}
    names = {pid: _text(proc / str(pid) / "comm") or "?" for pid in sorted(pids)}
    return [f"process {pid} ({name}), which has the idle bitmap open" for pid, name in names.items()]


def others(proc: Path, sys: Path, own: int) -> list[str]:
    """All that disturb, and are disturbed by, a monitor in process ``own``."""
    return [*kernel_damon(sys), *bitmap_readers(proc, own)]


def warn(proc: Path, sys: Path, own: int) -> None:
    """One line in the log when there are others."""
    found = others(proc, sys, own)
    if found:
        log.warning(
            "warning: accessed bits are also used by %s: each misses accesses that another one sees, and results are "
            "too low or too high; stop the others, or take that into account (docs/explanation/linux.md)",
            "; ".join(found),
        )  # fmt: skip
