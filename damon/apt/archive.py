# SPDX-License-Identifier: GPL-2.0-only
"""What the host's Debian mirror has in any suite, and packages of it in the user's cache.

apt does the work, with a configuration, state and lists below the cache, and as the calling user: it needs no root, and
neither reads nor writes the host's own state. Signatures are always checked.
"""

from __future__ import annotations

import email.utils
import functools
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from .. import cache, steps
from ..errors import BuildFailed, InvalidInput, MissingCapability
from ..progress import Progress
from ..quoting import cut
from . import host

#: The host's own suites of the same mirror come to these. A mirror may have a code name's files of another day than
#: those of the suite that it is now.
SUITES: Final = (
    "sid", "experimental", "stable-backports", "trixie-backports", "stable", "oldstable-backports", "oldstable",
)  # fmt: skip
#: Group of the cache's entries.
KIND: Final = "package"
_T = TypeVar("_T")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{1,99}", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Offer:
    """A package that the mirror has.

    Args:
        name: of the package.
        version: Debian's version of it.
        suite: where.
        note: a remark on the suite ("" for none), e.g. that its Release file has expired.
    """

    name: str
    version: str
    suite: str
    note: str = ""


@dataclass(frozen=True)
class Package:
    """A package in the cache."""

    name: str
    version: str
    deb: Path
    note: str = ""
    suite: str = ""


def fetch_package(name: str, version: str | None = None, suite: str = "") -> Package:
    """A package of any suite: from the cache, else from the host's mirror.

    Args:
        name: of the package.
        version: Debian's version; None: the newest of what is in the cache, else of what the mirror has.
        suite: the suite that it shall be of; "": any.

    Raises:
        MissingCapability: the mirror has none such or does not answer, or this system has no apt.
    """
    for kept in cached(name):
        fits = kept.name == name and version in (None, kept.version) and suite in ("", kept.suite)
        if fits and cache.use(kept.deb.parent):
            return kept
    found = [one for one in offers(name, suite) if one.name == name]
    wanted = [one for one in found if version in (None, one.version) and suite in ("", one.suite)]
    if not wanted:
        asked = f"{name}={version}" if version else name
        others = ", ".join(f"{one.version} of {one.suite}" for one in found)
        raise MissingCapability(
            f"package: {cut(asked)!r}: {f'suite {cut(suite)}' if suite else 'no suite'} of the host's Debian mirror "
            f"{'does not have' if suite else 'has'} it; {f'take version {others}' if found else 'correct the name'}"
        )
    return download(wanted[0])


def cached(prefix: str) -> list[Package]:
    """The packages in the cache whose names begin with ``prefix``, newest first."""
    found = []
    for directory in (cache.cache_root() / KIND).glob("*_*"):
        name, _, version = directory.name.partition("_")
        version = version.replace("%", ":")
        debs = list(directory.glob("*.deb"))
        if name.startswith(prefix) and debs and cache.complete(directory) and _VERSION.fullmatch(version):
            note, suite = (cache.manifest(directory).get(word) for word in ("note", "suite"))
            words = (word if isinstance(word, str) else "" for word in (note, suite))
            found.append(Package(name, version, debs[0], *words))
    return newest(found, lambda one: one.version)


def offers(prefix: str, suite: str = "") -> list[Offer]:
    """The packages that the host's mirror has now and whose names begin with ``prefix``, newest first.

    Args:
        prefix: of names.
        suite: one to ask beside the usual ones.

    Raises:
        MissingCapability: there is none and a suite could not be asked, or this system has no apt.
    """
    with Progress("Debian's lists of packages") as progress, _session(progress, suite) as session:
        errors = session.update()
        found = session.packages(prefix)
    if not found and errors:
        raise MissingCapability(
            f"packages {prefix}*: the mirror {session.mirror.uri} has none, and apt reports: {cut(errors[0])}; "
            "check the network and apt's proxy settings, or give a kernel tree"
        )
    return newest(found, lambda one: one.version)


def download(offer: Offer) -> Package:
    """The offered package in the cache. apt checks it by the signed list that it is on.

    Raises:
        BuildFailed: the mirror does not answer, or what it sent differs from its list.
    """

    def build(directory: Path, progress: Progress) -> None:
        log = directory / "download.log"
        with _session(progress, offer.suite) as session:
            session.run(["download", f"{offer.name}={offer.version}"], log, "downloading", directory)
        log.unlink()

    key = f"{offer.name}_{offer.version.replace(':', '%')}"
    facts = {"package": offer.name, "version": offer.version, "suite": offer.suite, "note": offer.note}
    directory = cache.obtain(KIND, key, f"package {offer.name} {offer.version}", build, facts)
    return Package(offer.name, offer.version, next(directory.glob("*.deb")), offer.note, offer.suite)


def newest(items: Iterable[_T], version: Callable[[_T], str]) -> list[_T]:
    """``items`` by Debian's order of their versions, the newest first."""

    def compare(one: str, other: str) -> int:
        if one == other:
            return 0
        words = [steps.found("dpkg", "dpkg"), "--compare-versions", one, "lt", other]
        return -1 if subprocess.run(words, capture_output=True, check=False).returncode == 0 else 1

    order = functools.cmp_to_key(compare)
    return sorted(items, key=lambda item: order(version(item)), reverse=True)


def installed_version(package: str) -> str | None:
    """Version of an installed Debian package, or None (also on a machine without dpkg)."""
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    status, _, version = done.stdout.partition(" ")
    return version if done.returncode == 0 and status == "installed" else None


class _Session:
    """apt with a configuration of its own."""

    def __init__(self, root: Path, scratch: Path, progress: Progress, suite: str) -> None:
        self.mirror = host.mirror()
        self._lists, self._scratch, self._progress = root / "lists", scratch, progress
        self._options = host.options()
        if suite and not _NAME.fullmatch(suite):
            raise InvalidInput(f"suite: {cut(suite)!r}: is not the name of one; give one like {SUITES[0]}")
        suites = " ".join(dict.fromkeys((*self.mirror.suites, *SUITES, *([suite] if suite else []))))
        for directory in (self._lists / "partial", scratch / "archives/partial", scratch / "empty"):
            directory.mkdir(parents=True, exist_ok=True)
        (scratch / "debian.sources").write_text(
            f"Types: deb\nURIs: {self.mirror.uri}\nSuites: {suites}\nComponents: main\nTargets: Packages\n"
            f"Signed-By: {self.mirror.signed_by}\n"
        )
        # Read before the host's options and instead of them: among those are programs to be run after an update.
        lines = {**self._options, **self._own()}
        config = scratch / "apt.conf"
        config.touch(mode=0o600)  # a proxy's address may have a password in it
        config.write_text("".join(f'{name} "{value}";\n' for name, value in lines.items()))
        self._env = {"APT_CONFIG": str(config)}

    def _own(self) -> dict[str, str]:
        scratch = self._scratch
        return {
            "Dir::State": str(scratch),
            "Dir::State::lists": f"{self._lists}/",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": str(scratch),
            "Dir::Etc::parts": str(scratch / "empty"),
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": str(scratch / "empty"),
            "Dir::Etc::sourcelist": str(scratch / "debian.sources"),
            "Dir::Etc::sourceparts": str(scratch / "empty"),
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::AllowWeakRepositories": "false",
            "Acquire::AllowDowngradeToInsecureRepositories": "false",
            "APT::Get::AllowUnauthenticated": "false",
            "Acquire::GzipIndexes": "true",
            "Acquire::Languages": "none",
            "Acquire::Retries": self._options.get("Acquire::Retries", "3"),
            # The calling user owns the cache, where apt's own user may not write.
            "APT::Sandbox::User": "root",
        }

    def run(self, words: list[str], log: Path, note: str, cwd: Path) -> None:
        """One command of apt-get; output goes to ``log``."""
        apt = steps.found("apt-get", "apt")
        steps.run([apt, "-q", "-y", *words], log, self._progress, note, cwd=cwd, env=self._env)

    def update(self) -> list[str]:
        """Fetches the lists; the errors, likely reasons first. A mirror need not have all suites."""
        log = self._scratch / "update.log"
        with suppress(BuildFailed):
            self.run(["update"], log, "fetching", self._scratch)
        lines = log.read_text(errors="replace").splitlines()
        errors = [line[3:] for line in lines if line.startswith(("E: ", "W: "))]
        # A suite that the mirror lacks comes last: it is the least likely reason.
        return sorted(errors, key=lambda line: "does not have a Release file" in line)

    def packages(self, prefix: str) -> list[Offer]:
        """What the lists have; of a version that several suites have, one offer."""
        names = [name for name in self._ask("pkgnames", prefix) if _NAME.fullmatch(name)]
        found: dict[tuple[str, str], Offer] = {}
        for line in self._ask("madison", *names) if names else ():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) != 3 or not (_NAME.fullmatch(fields[0]) and _VERSION.fullmatch(fields[1])):
                continue
            suite = fields[2].split()[1].partition("/")[0]
            found.setdefault((fields[0], fields[1]), Offer(fields[0], fields[1], suite, self._dates(suite)))
        return list(found.values())

    def _ask(self, *words: str) -> list[str]:
        command = [steps.found("apt-cache", "apt"), *words]
        env = {**os.environ, **self._env, "LC_ALL": "C"}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=env, check=False)
        return done.stdout.splitlines()

    def _dates(self, suite: str) -> str:
        """A remark on the Release file's dates; apt has refused it unless the host's options accept them."""
        now = time.time()
        for path in self._lists.glob(f"*_dists_{suite}_InRelease"):
            fields = dict(re.findall(r"^(Date|Valid-Until): (.+)$", path.read_text(errors="replace"), re.MULTILINE))
            until, date = (_seconds(fields.get(name)) for name in ("Valid-Until", "Date"))
            if until is not None and until < now:
                return _accepted(suite, f"expired on {fields['Valid-Until']}", "Check-Valid-Until")
            if date is not None and date > now:
                return _accepted(suite, f"is of {fields['Date']}, later than now", "Check-Date")
        return ""


def _accepted(suite: str, what: str, option: str) -> str:
    said = f"the Release file of {cut(suite, 40)} {cut(what, 80)}"
    return f"{said}: accepted, as this host's apt has Acquire::{option} false"


def _seconds(date: str | None) -> float | None:
    try:
        return None if date is None else email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


@contextmanager
def _session(progress: Progress, suite: str) -> Iterator[_Session]:
    """One at a time; what a session that was killed left is removed."""
    root = cache.cache_root() / "apt"
    root.mkdir(mode=0o700, exist_ok=True)
    with cache.locked(root / "lock", progress):
        for left in root.glob("run.*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="run.", dir=root) as scratch:
            yield _Session(root, Path(scratch), progress, suite)
