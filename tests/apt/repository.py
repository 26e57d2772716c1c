# SPDX-License-Identifier: GPL-2.0-only
"""A signed repository of Debian packages in a directory, and an apt configuration that has it as the mirror."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from pathlib import Path

import pytest

import damon.apt.host
import vmtest.apt.host
from tests.files import lay

PROGRAMS = ("apt-get", "apt-cache", "dpkg-deb", "gpg", "gpgconf")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
needs_apt = pytest.mark.skipif(bool(MISSING), reason=f"SKIPPED, there is no {', '.join(MISSING)}")
DAY = 86400.0
_MIRRORS = {module: module.mirror for module in (damon.apt.host, vmtest.apt.host)}


@dataclass
class Keys:
    """A throwaway key: the home of gpg, and the public part as apt reads it."""

    home: Path
    public: Path

    def sign(self, path: Path, to: Path) -> None:
        """``path`` as a signed file."""
        words = ["--clearsign", "--output", str(to), str(path)]
        subprocess.run([*_gpg(self.home), *words], check=True, capture_output=True)


@contextmanager
def new_keys(where: Path) -> Iterator[Keys]:
    """The agent that gpg starts for them ends with the block."""
    # The agent's socket lies in the home: a long path does not fit.
    home = Path(tempfile.mkdtemp(prefix="k", dir=tempfile.gettempdir()))
    try:
        make = ["--passphrase", "", "--quick-gen-key", "test@example.org", "ed25519", "sign", "never"]
        subprocess.run([*_gpg(home), *make], check=True, capture_output=True)
        public = where / f"{home.name}.gpg"
        subprocess.run([*_gpg(home), "--output", str(public), "--export"], check=True, capture_output=True)
        public.chmod(0o644)
        yield Keys(home, public)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def _gpg(home: Path) -> list[str]:
    return ["gpg", "--homedir", str(home), "--batch", "--yes", "--quiet", "--pinentry-mode", "loopback"]


def build_deb(where: Path, name: str, version: str, files: Mapping[str, bytes]) -> Path:
    """A package of all architectures."""
    tree = where / f"tree.{name}.{version}"
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.org>\n"
    lay(tree, {"DEBIAN/control": f"{control}Description: test\n", **files})
    deb = where / f"{name}_{version}_all.deb"
    words = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(deb)]
    subprocess.run(words, check=True, capture_output=True)
    shutil.rmtree(tree)
    return deb


def build_source(where: Path, series: str, version: str, files: Mapping[str, str]) -> Path:
    """A package of kernel sources with these files."""
    name = f"linux-source-{series}"
    top = lay(where / f"source.{version}" / name, files)
    archive = where / f"{version}.tar.xz"
    with tarfile.open(archive, "w:xz", preset=0) as tar:
        tar.add(top, name)
    return build_deb(where, name, version, {f"usr/src/{name}.tar.xz": archive.read_bytes()})


@dataclass
class Repository:
    """A repository; suites that are not given do not exist, as on a mirror that has not all."""

    root: Path
    keys: Keys
    suites: dict[str, list[Path]] = field(default_factory=dict)

    def publish(self, suite: str, debs: Sequence[Path], *, dated: float = 0.0, valid_days: float | None = None) -> None:
        """Writes a suite anew.

        Args:
            suite: its name.
            debs: what it has.
            dated: seconds from now that its Release file is of.
            valid_days: how long that is valid from its date.
        """
        pool, index = self.root / "pool", self.root / f"dists/{suite}/main/binary-{_architecture()}/Packages"
        pool.mkdir(parents=True, exist_ok=True)
        index.parent.mkdir(parents=True, exist_ok=True)
        stanzas = []
        for deb in debs:
            kept = pool / deb.name
            if kept != deb:
                shutil.copy(deb, kept)
            control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
            digest = hashlib.sha256(kept.read_bytes()).hexdigest()
            stanzas.append(f"{control}Filename: pool/{deb.name}\nSize: {kept.stat().st_size}\nSHA256: {digest}\n")
        index.write_text("\n".join(stanzas))
        data = index.read_bytes()
        now = time.time() + dated
        lines = [f"Suite: {suite}", f"Codename: {suite}", f"Date: {_date(now)}"]
        if valid_days is not None:
            lines.append(f"Valid-Until: {_date(now + valid_days * DAY)}")
        lines += [f"Architectures: {_architecture()}", "Components: main", "SHA256:"]
        lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-{_architecture()}/Packages")
        release = self.root / f"dists/{suite}/Release"
        release.write_text("\n".join(lines) + "\n")
        self.keys.sign(release, release.with_name("InRelease"))
        release.unlink()


def _date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True).replace("GMT", "UTC")


def _architecture() -> str:
    done = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def configure(where: Path, root: Path, signed_by: Path | str) -> Path:
    """A host's ``/etc/apt`` with that mirror."""
    text = f"Types: deb\nURIs: copy:{root}\nSuites: bookworm\nComponents: main\nSigned-By: {signed_by}\n"
    return lay(where / "etc-apt", {"sources.list.d/debian.sources": text})


def take_as_host(monkeypatch: pytest.MonkeyPatch, etc: Path, options: Mapping[str, str] | None = None) -> None:
    """``damon.apt`` and ``vmtest.apt`` take that directory for the host's, and these options for those of its apt."""
    for module, mirror in _MIRRORS.items():
        monkeypatch.setattr(module, "mirror", partial(mirror, etc, (), "bookworm"))
        monkeypatch.setattr(module, "options", lambda: dict(options or {}))
    monkeypatch.setenv("XDG_CACHE_HOME", str(etc.parent / "cache"))


def state_of_the_host() -> list[tuple[str, int]]:
    """What apt keeps on this machine, with times."""
    found = []
    for top in ("/var/lib/apt", "/var/cache/apt", "/etc/apt"):
        for directory, _, files in os.walk(top):
            found += [(path, os.lstat(path).st_mtime_ns) for path in (f"{directory}/{name}" for name in files)]
    return sorted(found)


@pytest.fixture(scope="module")
def mirror_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    with new_keys(tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture
def mirror(mirror_keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """The host's mirror, on which nothing is published yet."""
    made = Repository(tmp_path / "mirror", mirror_keys)
    take_as_host(monkeypatch, configure(tmp_path, made.root, mirror_keys.public))
    return made
