# SPDX-License-Identifier: GPL-2.0-only
"""The file with what of the kernel's DAMON is to be restored. It is written before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from damon import format_version
from damon.host.found import Found, restore

STATE: Final = Path("/run/damon-host")
_JOURNAL: Final = "journal.json"
_FORMAT: Final = 1
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def write(state: Path, found: Found) -> None:
    """Write down in directory ``state`` what is to be restored; the file is complete or as before."""
    text = json.dumps({format_version.FIELD: _FORMAT, "boot": _boot(), **found.as_object()})
    scratch = state / f"{_JOURNAL}.new"
    scratch.write_text(text)
    scratch.rename(state / _JOURNAL)


def repair(state: Path) -> list[str]:
    """Restores what the journal has, if there is one; call it with the lock held. What could not be done."""
    path = state / _JOURNAL
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except ValueError:
        # Written aside and renamed: a damaged one is not from here.
        path.unlink()
        return [f"{path}: it is damaged; look at the kernel's DAMON yourself"]
    problems = []
    later = format_version.refusal(data, _FORMAT)
    if later is not None:
        problems = [f"{path}: {later}, and restore the kernel's DAMON yourself"]
    elif data.get("boot") == _boot():
        fields = {name: value for name, value in data.items() if name not in ("boot", format_version.FIELD)}
        try:
            problems = restore(Found(**fields))
        except TypeError:
            problems = [f"{path}: it is of another version; look at the kernel's DAMON yourself"]
    path.unlink()
    return problems


def _boot() -> str:
    return _BOOT.read_text().strip()
