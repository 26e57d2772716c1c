# SPDX-License-Identifier: GPL-2.0-only
"""Where kernel source comes from: Debian's source package, unpacked once in the cache, or a tree given by path."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .. import apt, cache, steps
from ..apt import installed_version
from ..errors import InvalidInput, MachineLacks
from ..progress import Progress
from .hostpkgs import program

PACKAGE = "linux-source-6.12"
_PACKAGE = re.compile(r"linux-source-\d+\.\d+", re.ASCII)


@dataclass(frozen=True)
class KernelSource:
    """A kernel tree; ``identity`` changes whenever its content may have changed."""

    name: str
    identity: str
    tree: Path | None  # None: the package, not unpacked yet
    deb: Path | None = None  # the package's file, where the package is not installed


def named(what: Path) -> KernelSource:
    """A kernel tree, or the whole tree of a Debian package ``linux-source-X.Y`` of any suite, downloaded where need be.

    Raises:
        InvalidInput: it is not a kernel tree.
        MachineLacks: the package cannot be had.
    """
    if not _PACKAGE.fullmatch(str(what)) or what.exists():
        return from_tree(what)
    return from_package(str(what), fetch=True)


def package_name(name: str) -> str:
    """``name``, if it can be a package of kernel source.

    Raises:
        InvalidInput: it cannot.
    """
    if not _PACKAGE.fullmatch(name):
        raise InvalidInput(f"package: {name!r}: is not one of kernel source; give one like {PACKAGE}")
    return name


def from_package(package: str = PACKAGE, *, suite: str = "", fetch: bool = False) -> KernelSource:
    """The Debian source package, not unpacked yet: the installed one, else one in the cache.

    Args:
        package: its name.
        suite: the suite that it shall be of, which the installed one need not be; "": any.
        fetch: download it when there is none.

    Raises:
        MachineLacks: there is none.
    """
    version = None if suite else installed_version(package)
    if version is not None and _tarball(package).exists():
        return KernelSource(package, f"{package} {version}", None)
    kept = (one for one in apt.cached(package) if one.name == package and suite in ("", one.suite))
    found = next((one for one in kept if cache.use(one.deb.parent)), None)
    if found is None and not fetch:
        of_suite = f" --suite {suite}" if suite else ""
        raise MachineLacks(
            f"package: {package!r}: is neither installed nor in the cache; fetch it with: "
            f"vmtest build kernel --package {package}{of_suite}"
        )
    found = found or apt.fetch_package(package, suite=suite)
    return KernelSource(package, f"{package} {found.version}", None, found.deb)


def from_tree(tree: Path) -> KernelSource:
    """A kernel tree on disk. Its identity covers path, size and time of every file, so an edit is noticed.

    Raises:
        InvalidInput: the directory is not a kernel tree.
    """
    tree = tree.resolve()
    for needed in ("Makefile", "Kconfig", "scripts/kconfig/merge_config.sh"):
        if not (tree / needed).is_file():
            raise InvalidInput(
                f"kernel source: {str(tree)!r}: has no {needed}; give the top directory of a kernel tree"
            )
    if (tree / ".config").exists():
        raise InvalidInput(
            f"kernel source: {str(tree)!r}: was built in place; keep its .config and run 'make mrproper' there"
        )
    digest = hashlib.sha256()
    for directory, directories, files in os.walk(tree):
        directories[:] = sorted(name for name in directories if name != ".git")
        for name in sorted(files):
            path = os.path.join(directory, name)
            facts = os.lstat(path)
            line = f"{os.path.relpath(path, tree)}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
    return KernelSource(tree.name, f"{tree} {digest.hexdigest()}", tree)


def unpacked(source: KernelSource) -> Path:
    """The source as a directory; a package is unpacked in the cache first."""
    if source.tree is not None:
        return source.tree
    package, _, version = source.identity.partition(" ")

    def build(directory: Path, progress: Progress) -> None:
        _unpack(source, directory, progress)

    facts = {"package": package, "version": version}
    key = f"{package}-{version}".replace(":", "_")
    return cache.obtain("source", key, f"kernel source {package} {version}", build, facts)


def _unpack(source: KernelSource, directory: Path, progress: Progress) -> None:
    """The tree of a package in an empty directory."""
    tarball = _tarball(source.name)
    program("xz")
    log = directory / "unpack.log"
    scratch = directory / ".deb"
    if source.deb is not None:
        steps.run(["dpkg-deb", "-x", source.deb, scratch], log, progress, "unpacking")
        tarball = scratch / tarball.relative_to("/")
    steps.run(["tar", "-xf", tarball, "-C", directory, "--strip-components=1"], log, progress, "unpacking")
    shutil.rmtree(scratch, ignore_errors=True)
    log.unlink()


def unpack_to(source: KernelSource, directory: Path) -> None:
    """The tree of a package in a new directory, to work on; whole or not at all.

    Raises:
        InvalidInput: the directory is there already, or cannot be made.
        BuildFailed: the package could not be unpacked.
    """
    if os.path.lexists(directory):
        raise InvalidInput(f"directory: {str(directory)!r}: is there already; name a directory that is not")
    try:
        scratch = Path(tempfile.mkdtemp(dir=directory.resolve().parent, prefix=f".{directory.name}."))
    except OSError as error:
        raise InvalidInput(
            f"directory: {str(directory)!r}: {error.strerror}; name a directory that can be made"
        ) from error
    try:
        with Progress(f"kernel source {source.identity}") as progress:
            _unpack(source, scratch, progress)
        scratch.chmod(0o755)
        scratch.rename(directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _tarball(package: str) -> Path:
    return Path("/usr/src") / f"{package}.tar.xz"
