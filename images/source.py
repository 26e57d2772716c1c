# SPDX-License-Identifier: GPL-2.0-only
"""Where kernel source comes from: Debian's source package, unpacked once in the cache, or a tree given by path."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from .. import cache
from ..progress import Progress
from . import steps
from .errors import InvalidInput, MachineLacks
from .hostpkgs import installed_version, program

PACKAGE = "linux-source-6.12"


@dataclass(frozen=True)
class KernelSource:
    """A kernel tree; ``identity`` changes whenever its content may have changed."""

    name: str
    identity: str
    tree: Path | None  # None: the package, not unpacked yet


def from_package(package: str = PACKAGE) -> KernelSource:
    """The Debian source package, not unpacked yet.

    Raises:
        MachineLacks: it is not installed.
    """
    version = installed_version(package)
    if version is None or not _tarball(package).exists():
        raise MachineLacks(f"package {package!r} is not installed; install it with: apt-get install {package}")
    return KernelSource(package, f"{package} {version}", None)


def from_tree(tree: Path) -> KernelSource:
    """A kernel tree on disk. Its identity covers path, size and time of every file, so an edit is noticed.

    Raises:
        InvalidInput: the folder is no kernel tree.
    """
    tree = tree.resolve()
    for needed in ("Makefile", "Kconfig", "scripts/kconfig/merge_config.sh"):
        if not (tree / needed).is_file():
            raise InvalidInput(f"kernel source {str(tree)!r} has no {needed}; give the top folder of a kernel tree")
    if (tree / ".config").exists():
        raise InvalidInput(
            f"kernel source {str(tree)!r} was built in place; keep its .config and run 'make mrproper' there"
        )
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            line = f"{os.path.relpath(path, tree)}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
    return KernelSource(tree.name, f"{tree} {digest.hexdigest()}", tree)


def unpacked(source: KernelSource) -> Path:
    """The source as a folder; a package is unpacked in the cache first."""
    if source.tree is not None:
        return source.tree
    package, _, version = source.identity.partition(" ")

    def build(folder: Path, progress: Progress) -> None:
        tarball = _tarball(package)
        program("xz")
        log = folder / "unpack.log"
        steps.run(["tar", "-xf", tarball, "-C", folder, "--strip-components=1"], log, progress, "unpacking")
        log.unlink()

    facts = {"package": package, "version": version}
    key = f"{package}-{version}".replace(":", "_")
    return cache.obtain("source", key, f"kernel source {package} {version}", build, facts)


def _tarball(package: str) -> Path:
    return Path("/usr/src") / f"{package}.tar.xz"
