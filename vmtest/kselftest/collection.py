# SPDX-License-Identifier: GPL-2.0-only
"""A kselftest collection: built by its own Makefile outside the tree, and what its tests are and may take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .. import cache, steps
from ..errors import BuildFailed, InvalidInput
from ..images import source
from ..images.arch import X86_64, Architecture
from ..images.hostpkgs import program
from ..progress import Progress

# Raise it when the steps below change what comes out.
RECIPE = "1"
LIST = "kselftest-list.txt"
SELFTESTS = "tools/testing/selftests"
#: The limit of kselftest's runner where a directory has no settings.
DEFAULT_TIMEOUT = 45.0
# Results are kept in directories of these names.
_TEST = re.compile(r"[\w+-][\w.+-]{0,99}")
NEEDED_PROGRAMS = ("make", "gcc", "rsync")


@dataclass(frozen=True)
class Collection:
    """A built collection.

    Attributes:
        name: its directory below ``tools/testing/selftests``.
        root: what ``make install`` made: the collection's directory, and beside it what tests include from ``../``.
        tests: names of its programs and scripts, in the order of its Makefile.
        timeout: seconds a test may take by its ``settings`` file; 0 for no limit.
    """

    name: str
    root: Path
    tests: tuple[str, ...]
    timeout: float

    @property
    def directory(self) -> Path:
        """The collection's own directory."""
        return self.root / self.name

    def chosen(self, names: list[str]) -> tuple[str, ...]:
        """The tests of these names in the collection's order; all for none.

        Raises:
            InvalidInput: one is not there.
        """
        for name in names:
            if name not in self.tests:
                raise InvalidInput(f"test: {name!r}: is not in {self.name}; it has: {', '.join(self.tests)}")
        return tuple(test for test in self.tests if test in names) if names else self.tests


def obtain(tree: source.KernelSource, name: str, arch: Architecture = X86_64) -> Collection:
    """The collection, built when it is not in the cache (seconds for one without libraries of its own).

    Args:
        tree: from :mod:`vmtest.images.source`; a tree on disk is not written to.
        name: "damon", "mm", "cgroup", ..., also deeper: "net/forwarding".
        arch: what its programs are compiled for.

    Raises:
        InvalidInput: the tree has no such collection.
        MachineLacks: a program of the build is missing.
        BuildFailed: it could not be built; the message has the compiler's words.
    """
    for needed in (*NEEDED_PROGRAMS, f"{arch.prefix}gcc"):
        program(needed)
    directory = source.unpacked(tree)
    home = directory / SELFTESTS
    if not re.fullmatch(r"[\w./-]+", name) or ".." in name or not (home / name / "Makefile").is_file():
        near = ", ".join(sorted(path.parent.name for path in home.glob(f"{name[:2]}*/Makefile"))[:8])
        raise InvalidInput(
            f"collection: {name!r}: is not in {tree.name} ({SELFTESTS}); "
            + (f"near it there are: {near}" if near else "give a directory's name, as in damon or mm")
        )

    def build(scratch: Path, progress: Progress) -> None:
        _build(home, name, arch, scratch, progress)

    parts: dict[str, str | bytes] = {"recipe": RECIPE, "source": tree.identity, "collection": name}
    if arch is not X86_64:
        parts["architecture"] = arch.name
    key = cache.content_key(parts)
    facts = {"source": tree.identity, "collection": name, "architecture": arch.name}
    root = cache.obtain("kselftest", key, f"kselftest {name} of {tree.name}", build, facts) / "installed"
    return read(root, name)


def read(root: Path, name: str) -> Collection:
    """What ``make install`` left in ``root``.

    Raises:
        BuildFailed: nothing of that collection.
    """
    listed = [line.partition(":") for line in (root / LIST).read_text("utf-8", "replace").splitlines()]
    tests = tuple(dict.fromkeys(test for directory, colon, test in listed if colon and directory == name))
    if strange := next((test for test in tests if not _TEST.fullmatch(test)), None):
        raise BuildFailed(f"kselftest: {name}: has a test called {strange!r}: that is not a file's name; correct that")
    if not tests:
        raise BuildFailed(
            f"kselftest: {name}: has no test for this architecture after 'make install'; name another one"
        )
    settings = root / name / "settings"
    return Collection(
        name, root, tests, timeout_of(settings.read_text("utf-8", "replace") if settings.is_file() else "")
    )


def timeout_of(settings: str) -> float:
    """Seconds by a ``settings`` file: ``timeout=N``, the last one counts; 0 stands for no limit.

    Raises:
        InvalidInput: the value is not a number.
    """
    found = DEFAULT_TIMEOUT
    for line in settings.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "timeout":
            word = value.strip().strip("\"'")
            if not re.fullmatch("[0-9]{1,9}", word):
                raise InvalidInput(f"settings: timeout {word!r} is not a number of seconds; correct the file")
            found = float(word)
    return found


def _build(home: Path, name: str, arch: Architecture, scratch: Path, progress: Progress) -> None:
    log = scratch / "build.log"
    words = ["make", "-C", str(home), f"O={scratch / 'objects'}", f"TARGETS={name}", "FORCE_TARGETS=1"]
    words += [*arch.make_words, "install", f"INSTALL_PATH={scratch / 'installed'}"]
    (scratch / "objects").mkdir()
    try:
        # The guest's C library need not be the host's. Not as an argument: the Makefile may add to it.
        steps.run(words, log, progress, "building", env={"LDFLAGS": "-static"})
    except BuildFailed:
        # Some ask for libraries that have no static form.
        steps.run(words, log, progress, "building with shared libraries")
