# SPDX-License-Identifier: GPL-2.0-only
"""Where the kernel's DAMON comes from: a directory, a package's file, or a Debian package of any version and suite."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from damon import steps
from damon.errors import InvalidInput
from damon.kernel import packages
from damon.quoting import cut, quoted

#: What DAMON's behavior depends on, in a tree: patterns of files, none of them below a further directory.
_COUNTED: Final = (
    "mm/damon/*.[ch]", "include/linux/damon.h", "include/linux/list.h", "include/trace/events/damon.h",
    "samples/damon/*",
)  # fmt: skip
#: Without these it is not a tree with DAMON.
_NEEDED: Final = ("mm/damon/core.c", "include/linux/damon.h", "include/trace/events/damon.h", "Makefile")
_FORMS: Final = "a kernel tree's directory, a linux-source .deb, or a version like 7.3 or linux-source-7.3"


@dataclass(frozen=True)
class KernelSource:
    """A kernel tree, or the parts of one that DAMON needs: ``packages.PARTS``.

    Args:
        path: its top directory.
        version: that of its Makefile, e.g. "7.3.4" or "7.3.0-rc7".
        origin: package and Debian's version, e.g. "linux-source-7.3 7.3.4-1", or the directory.
        sha256: over names and content of what DAMON's behavior depends on, in hexadecimal.
        note: a remark on the choice for the user, one line; None for nothing.
        extra: further C files that are built in.
    """

    path: Path
    version: str
    origin: str
    sha256: str
    note: str | None = None
    extra: tuple[Path, ...] = ()

    def with_files(self, paths: Sequence[Path]) -> KernelSource:
        """It, with further C files that are built in, as those of ``samples/damon`` are.

        Raises:
            InvalidInput: one cannot be read, or is not a C file.
        """
        if not paths:
            return self
        digest = hashlib.sha256(self.sha256.encode())
        for path in paths:
            if path.suffix != ".c":
                raise InvalidInput(f"C file: {_shown(path)}: its name does not end with .c; give a C file")
            try:
                data = path.read_bytes()
            except OSError as error:
                raise InvalidInput(f"C file: {_shown(path)}: {error.strerror}; give one that can be read") from None
            digest.update(f"{path.name}\0{len(data)}\0".encode() + data)
        origin = f"{self.origin} with {', '.join(path.name for path in paths)}"
        found = tuple(path.absolute() for path in paths)
        return replace(self, origin=origin, sha256=digest.hexdigest(), extra=found)


def open_source(spec: str) -> KernelSource:
    """The source that ``spec`` names; a package is downloaded and unpacked in the user's cache where need be.

    Args:
        spec: a directory or a ``.deb`` file (with a "/" in it, or there), ``7.3``, ``7.3.4``, ``linux-source-7.3`` or
            ``linux-source-7.3=7.3.4-1``.

    Raises:
        InvalidInput: it names nothing, or what it names has no DAMON.
        MissingCapability: the package cannot be had.
    """
    path = _path(spec)
    if path is not None and path.is_file():
        return _of_package(_unpacked(path))
    if path is not None:
        return _read(path.absolute(), str(path.absolute()), None)
    wanted = packages.parse(spec)
    if wanted is None:
        raise InvalidInput(f"kernel source: {quoted(spec)}: it names neither a source nor a file; give {_FORMS}")
    return _of_package(packages.obtain(wanted))


def _path(spec: str) -> Path | None:
    """The file or directory that is meant, or None where a package is."""
    try:
        path = Path(spec).expanduser()
        there = bool(spec) and path.exists()
    except (RuntimeError, ValueError, OSError) as error:
        raise InvalidInput(f"kernel source: {quoted(spec)}: {cut(str(error))}; give {_FORMS}") from None
    if there:
        if packages.parse(spec) is not None and path.is_dir() and not _has_damon(path):
            return None  # a directory that happens to be called 7.3
        return path
    if "/" in spec or spec.startswith("~") or spec.endswith(".deb"):
        raise InvalidInput(f"kernel source: {quoted(spec)}: it does not exist; give {_FORMS}")
    return None


def _shown(path: Path) -> str:
    return repr(cut(str(path)))


def _has_damon(tree: Path) -> bool:
    return all((tree / name).is_file() for name in _NEEDED)


def _unpacked(deb: Path) -> packages.Unpacked:
    """The parts of a package's file."""
    words = [steps.found("dpkg-deb", "dpkg"), "--show", "--showformat=${Package} ${Version}", str(deb.absolute())]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    package, _, version = done.stdout.partition(" ")
    if done.returncode or packages.parse(f"{package}={version}") is None:
        raise InvalidInput(f"kernel source: {_shown(deb)}: is not a package of kernel sources; give {_FORMS}")
    return packages.unpack(package, version, deb)


def _of_package(found: packages.Unpacked) -> KernelSource:
    return _read(found.tree, f"{found.package} {found.version}", found.note or None)


def _read(tree: Path, origin: str, note: str | None) -> KernelSource:
    for name in _NEEDED:
        if not (tree / name).is_file():
            raise InvalidInput(
                f"kernel source: {_shown(tree)}: it has no {name}; give the top directory of a tree with DAMON"
            )
    try:
        version, digest = _version((tree / "Makefile").read_text(errors="replace")), _digest(tree)
    except OSError as error:
        raise InvalidInput(f"kernel source: {_shown(tree)}: {cut(str(error))}; make it readable") from None
    if version is None:
        raise InvalidInput(f"kernel source: {_shown(tree)}: its Makefile has no VERSION; give a kernel tree")
    return KernelSource(tree, version, origin, digest, note)


def _version(makefile: str) -> str | None:
    """As ``make kernelversion`` prints it."""
    lines = dict(
        re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=[ \t]*(\S*)", makefile[:2000], re.MULTILINE)
    )
    if not re.fullmatch(r"\d{1,3}", lines.get("VERSION", ""), re.ASCII):
        return None
    numbers = [lines["VERSION"]]
    for name in ("PATCHLEVEL", "SUBLEVEL"):
        if not lines.get(name):
            break
        numbers.append(lines[name])
    return cut(".".join(numbers) + lines.get("EXTRAVERSION", ""), 40)


def _digest(tree: Path) -> str:
    digest = hashlib.sha256()
    for path in _counted(tree):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(tree)}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _counted(tree: Path) -> Iterator[Path]:
    for pattern in _COUNTED:
        yield from sorted(path for path in tree.glob(pattern) if path.is_file())
