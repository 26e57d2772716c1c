# SPDX-License-Identifier: GPL-2.0-only
"""Debian's packages of kernel sources: an installed one, one in the cache, or one that the host's mirror has."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon import apt, cache, steps
from damon.errors import BuildFailed, InvalidInput, MissingCapability
from damon.progress import Progress
from damon.quoting import listed

PREFIX: Final = "linux-source-"
#: Group of the cache's entries: what DAMON needs of a tree.
KIND: Final = "damon-source"
INSTALLED: Final = Path("/usr/src")
#: What is unpacked, below the tree's only top directory.
PARTS: Final = (
    "mm/damon", "include/linux", "include/trace", "lib/*.[ch]", "samples", "tools/testing/selftests/damon",
    "Makefile",
)  # fmt: skip
_SPEC: Final = re.compile(
    r"(?:linux-source-)?(\d{1,3}\.\d{1,3})(\.\d{1,5})?(?:[= ]([A-Za-z0-9.+~:-]{1,99}))?", re.ASCII
)
_NAME: Final = re.compile(r"linux-source-(\d{1,3})\.(\d{1,3})", re.ASCII)


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        series: "7.3".
        release: "7.3.4"; "" for any of the series.
        version: Debian's version of the package; "" for any.
    """

    series: str
    release: str = ""
    version: str = ""

    @property
    def package(self) -> str:
        """The package's name."""
        return f"{PREFIX}{self.series}"

    def met_by(self, package: str, version: str) -> bool:
        """Whether that is what is asked for."""
        if package != self.package or self.version not in ("", version):
            return False
        return not self.release or re.match(rf"{re.escape(self.release)}(?![\d.])", version) is not None

    def __str__(self) -> str:
        return f"{self.package}={self.version}" if self.version else PREFIX + (self.release or self.series)


@dataclass(frozen=True)
class Unpacked:
    """Parts of a kernel tree in the cache."""

    tree: Path
    package: str
    version: str
    note: str = ""


def parse(spec: str) -> Wanted | None:
    """``7.3``, ``7.3.4``, ``linux-source-7.3``, with a version ``linux-source-7.3=7.3.4-1``; None of anything else."""
    match = _SPEC.fullmatch(spec)
    return Wanted(match[1], f"{match[1]}{match[2]}" if match[2] else "", match[3] or "") if match is not None else None


def obtain(wanted: Wanted) -> Unpacked:
    """The parts of the wanted sources: of an installed package, else from the cache, else from the host's mirror.

    What is at hand and fits is taken without asking the mirror for something newer. If nothing fits, what the mirror
    has nearest to it is taken, and the note names it.

    Raises:
        MissingCapability: nothing fits, and the mirror does not answer or has no kernel sources.
        BuildFailed: a package could not be downloaded or unpacked.
        InvalidInput: the sources have no DAMON.
    """
    installed = _installed(wanted.package)
    if installed is not None and wanted.met_by(wanted.package, installed):
        return unpack(wanted.package, installed, INSTALLED / f"{wanted.package}.tar.xz")
    for kept in cached():
        if wanted.met_by(kept.package, kept.version) and cache.use(kept.tree.parent):
            return kept
    for package in apt.cached(PREFIX):
        if wanted.met_by(package.name, package.version) and cache.use(package.deb.parent):
            return _of(package, "")
    offer = nearest(wanted, _offers(wanted))
    note = "" if wanted.met_by(offer.name, offer.version) else f"{wanted} is not to be had: took {_title(offer)}"
    for kept in cached():
        if (kept.package, kept.version) == (offer.name, offer.version) and cache.use(kept.tree.parent):
            return Unpacked(kept.tree, kept.package, kept.version, _joined(note, kept.note))
    return _of(apt.download(offer), note)


def cached() -> list[Unpacked]:
    """What the cache has, newest first."""
    found = []
    for directory in (cache.cache_root() / KIND).glob(f"{PREFIX}*_*"):
        facts = cache.manifest(directory)
        package, version, note = (facts.get(name) for name in ("package", "version", "note"))
        if isinstance(package, str) and isinstance(version, str) and isinstance(note, str):
            found.append(Unpacked(directory / "tree", package, version, note))
    return apt.newest(found, lambda one: one.version)


def nearest(wanted: Wanted, offers: list[apt.Offer]) -> apt.Offer:
    """The offer that is nearest to what is wanted: of the series if there is any, and the newest of equally near ones.

    Args:
        wanted: what is asked for.
        offers: at least one; newest first.
    """
    at = _place(wanted.package)

    def distance(offer: apt.Offer) -> tuple[bool, int]:
        return not wanted.met_by(offer.name, offer.version), abs(_place(offer.name) - at)

    return min(offers, key=distance)


def unpack(package: str, version: str, source: Path, note: str = "") -> Unpacked:
    """The parts of a package in the cache.

    Args:
        package: its name.
        version: Debian's version of it.
        source: the package's ``.deb``, or the ``.tar.xz`` that it installs.
        note: kept with them.
    """

    def build(directory: Path, progress: Progress) -> None:
        log = directory / "unpack.log"
        tarball = source
        if source.suffix == ".deb":
            steps.run(["dpkg-deb", "-x", source.resolve(), directory / "deb"], log, progress, "unpacking")
            tarball = directory / f"deb/usr/src/{package}.tar.xz"
            if tarball.is_symlink() or not tarball.is_file():
                raise InvalidInput(f"kernel source: {source}: has no usr/src/{package}.tar.xz; give another package")
        _extract(tarball, directory, progress)
        shutil.rmtree(directory / "deb", ignore_errors=True)
        log.unlink(missing_ok=True)

    facts = {"package": package, "version": version, "note": note}
    key = f"{package}_{version.replace(':', '%')}"
    directory = cache.obtain(KIND, key, f"kernel source {package} {version}", build, facts)
    return Unpacked(directory / "tree", package, version, note)


def _extract(tarball: Path, directory: Path, progress: Progress) -> None:
    tree, log = directory / "tree", directory / "unpack.log"
    tree.mkdir()
    decompress = f"{steps.found('xz', 'xz-utils')} -T0"
    words: list[str | Path] = ["tar", "-x", "-f", tarball, "-C", tree, "--strip-components=1", "-I", decompress]
    words += ["--no-same-owner", "--anchored", "--wildcards", "--no-wildcards-match-slash"]
    try:
        steps.run([*words, *(f"*/{part}" for part in PARTS)], log, progress, "unpacking")
    except BuildFailed as error:
        if not (tree / "mm/damon").is_dir() and "Not found in archive" in str(error):
            raise InvalidInput(f"kernel source: {tarball}: has no mm/damon; give a kernel of 5.15 or later") from None
        raise


def _of(package: apt.Package, note: str) -> Unpacked:
    found = unpack(package.name, package.version, package.deb, package.note)
    return Unpacked(found.tree, found.package, found.version, _joined(note, found.note))


def _offers(wanted: Wanted) -> list[apt.Offer]:
    try:
        found = [one for one in apt.offers(PREFIX) if _NAME.fullmatch(one.name)]
        why = "the host's Debian mirror has no kernel sources"
    except MissingCapability as error:
        found, why = [], str(error)
    if not found:
        here = sorted({f"{one.package}={one.version}" for one in cached()})
        also = f"; in the cache: {listed(here)}" if here else ""
        raise MissingCapability(f"kernel source: {wanted}: neither installed nor in the cache: {why}{also}")
    return found


def _installed(package: str) -> str | None:
    """Version of an installed package whose archive is there."""
    if not (INSTALLED / f"{package}.tar.xz").is_file():
        return None
    return apt.installed_version(package)


def _place(package: str) -> int:
    """A number of a series that grows by one from each to the next: a major version has twenty minor ones."""
    match = _NAME.fullmatch(package)
    return 20 * int(match[1]) + int(match[2]) if match is not None else 0


def _title(offer: apt.Offer) -> str:
    return f"{offer.name} {offer.version} of {offer.suite}"


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
