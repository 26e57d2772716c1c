# SPDX-License-Identifier: GPL-2.0-only
"""Call traces with file and line, from the symbols that a kernel build left beside its image."""

from __future__ import annotations

import bisect
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from ..images.arch import of_program

_ENTRY = re.compile(r"(?P<where>\??\s*(?P<name>[A-Za-z_][\w.]*)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+))")
_TREE = re.compile(
    r"(?:^|/)((?:arch|block|crypto|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net|security|sound|virt)/.*)"
)
_SECONDS = 60.0
_MAX_PLACES = 300


def vmlinux_of(image: Path) -> Path | None:
    """The file with a kernel image's symbols, where builds leave it: beside it, or at the top of its tree."""
    places = [image.with_name("vmlinux")]
    if image.parent.name == "boot" and image.parent.parent.parent.name == "arch":
        places.append(image.parents[3] / "vmlinux")
    if image.name.startswith("vmlinuz-"):
        places.append(Path("/usr/lib/debug/boot") / image.name.replace("vmlinuz", "vmlinux", 1))
    return next((path for path in places if path.is_file()), None)


def decode(text: str, vmlinux: Path | None) -> str:
    """The text with ``(file:line)`` behind every ``function+0x1/0x2`` that the symbols know; as it is without them."""
    if vmlinux is None or not _ENTRY.search(text):
        return text
    places = _places(text, vmlinux)
    if not places:
        return text
    lines = []
    for line in text.splitlines():
        match = _ENTRY.search(line)
        place = places.get(_key(line, match)) if match else None
        lines.append(f"{line} ({place})" if place else line)
    return "\n".join(lines)


def _key(line: str, match: re.Match[str]) -> tuple[str, int, int]:
    # A call trace has return addresses: the call itself is before them. What faulted or warned is itself.
    back = 0 if re.search(r"\b(?:RIP|pc) ?:|WARNING: |BUG: ", line) else 1
    return match["name"], int(match["size"], 16), max(0, int(match["offset"], 16) - back)


def _places(text: str, vmlinux: Path) -> dict[tuple[str, int, int], str]:
    tool = shutil.which("llvm-symbolizer") or shutil.which(f"{_prefix(vmlinux)}addr2line")
    if tool is None:
        return {}
    stat = vmlinux.stat()
    symbols = _symbols(vmlinux, stat.st_mtime_ns, stat.st_size)
    wanted: dict[tuple[str, int, int], int] = {}
    for line in text.splitlines():
        match = _ENTRY.search(line)
        if match and len(wanted) < _MAX_PLACES:
            key = _key(line, match)
            bases = [base for base, size in symbols.get(key[0], ()) if size == key[1] or not size]
            if len(bases) == 1:
                wanted[key] = bases[0] + key[2]
    if not wanted:
        return {}
    addresses = [f"{address:#x}" for address in wanted.values()]
    if tool.endswith("llvm-symbolizer"):
        command = [tool, f"--obj={vmlinux}", "--functions=none", "--no-inlines", "--output-style=GNU", *addresses]
    else:
        command = [tool, "-e", str(vmlinux), *addresses]
    answers = _output(command)
    if len(answers) != len(addresses):
        return {}
    return {
        key: _short(answer) for key, answer in zip(wanted, answers, strict=True) if not answer.startswith(("?", ":"))
    }


def _prefix(vmlinux: Path) -> str:
    """What the names of the binutils for it begin with."""
    with vmlinux.open("rb") as stream:
        arch = of_program(stream.read(64))
    return arch.prefix if arch else ""


def _short(place: str) -> str:
    place = re.sub(r" \(discriminator \d+\)$", "", place)
    path, _, number = place.partition(":")
    # The tree it was built in is left out: from the first directory that every tree has.
    match = _TREE.search(path.rpartition("/./")[2])
    return f"{match[1] if match else path}:{number.split(':')[0]}"


@lru_cache(maxsize=4)
def _symbols(vmlinux: Path, _mtime: int, _size: int) -> dict[str, list[tuple[int, int]]]:
    """Of each function: base and size as the kernel computes it, up to the next symbol."""
    found: list[tuple[int, str]] = []
    for line in _output([f"{_prefix(vmlinux)}nm", "-n", str(vmlinux)]):
        parts = line.split()
        if len(parts) == 3 and parts[1] in "tTwW":
            found.append((int(parts[0], 16), parts[2]))
    bases = sorted({base for base, _ in found})
    table: dict[str, list[tuple[int, int]]] = {}
    for base, name in found:
        after = bisect.bisect_right(bases, base)
        size = bases[after] - base if after < len(bases) else 0
        table.setdefault(name, []).append((base, size))
    return table


def _output(command: list[str]) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in done.stdout.splitlines() if line] if done.returncode == 0 else []
