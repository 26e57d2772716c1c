# SPDX-License-Identifier: GPL-2.0-only
"""What a test process keeps apart from the rest of the machine: its directories, its descendants, its signals.

As a pytest plugin (loaded by conftest) it gives each test process directories of its own for ``TMPDIR``, ``HOME`` and
``XDG_RUNTIME_DIR``, marks all that descends from it by a word in the environment, and takes the signals that a
background job would have inherited as ignored. After each module it looks for what is left (``tests/leaks.py``).
"""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from tests import leaks

#: What ``signal.signal`` takes.
Handler = Callable[[int, FrameType | None], object] | signal.Handlers
#: Words of the test processes above, the outermost first. What they start inherits them.
WORDS = "PYDAMON_TESTS"
#: A background job of a shell without job control has these ignored, and so have all its descendants.
OURS: dict[signal.Signals, Handler] = {
    signal.SIGINT: signal.default_int_handler, signal.SIGQUIT: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL,
    signal.SIGCHLD: signal.SIG_DFL, signal.SIGUSR1: signal.SIG_DFL, signal.SIGUSR2: signal.SIG_DFL,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Directories of one test process, and the word that its descendants carry."""

    root: Path
    word: str

    @property
    def directories(self) -> dict[str, Path]:
        """By the variable that names it; nothing stays in any of them."""
        return {"TMPDIR": self.root / "tmp", "HOME": self.root / "home", "XDG_RUNTIME_DIR": self.root / "run"}


PLACE = pytest.StashKey[Place]()
SHARED = pytest.StashKey[set[Path]]()
LEFT = pytest.StashKey[list[str]]()


def _take(signals: Mapping[signal.Signals, Handler]) -> None:
    """Signals arrive, and do what they do in a program that was started at a prompt."""
    for number, action in signals.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _settle(place: Place) -> None:
    """Make the directories, and name them to this process and all that it starts."""
    # What is built once (kernels, images, snapshots) and the user's configuration stay where they are.
    for name, default in (("XDG_CACHE_HOME", ".cache"), ("XDG_CONFIG_HOME", ".config")):
        os.environ.setdefault(name, str(Path.home() / default))
    for name, directory in place.directories.items():
        directory.mkdir(mode=0o700)
        os.environ[name] = str(directory)
    os.environ[WORDS] = f"{os.environ.get(WORDS, '')} {place.word}".strip()
    tempfile.tempdir = None


def _factory(config: pytest.Config) -> pytest.TempPathFactory:
    """The one behind ``tmp_path_factory``; pytest has no public way to it outside of fixtures."""
    factory: pytest.TempPathFactory = vars(config)["_tmp_path_factory"]
    return factory


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    _take(OURS)
    config.stash[SHARED] = leaks.shared()
    config.stash[PLACE] = Place(_factory(config).mktemp("own"), secrets.token_hex(8))
    _settle(config.stash[PLACE])


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails when a module leaves processes, mounts, sockets or files; the first to begin and the last to end."""
    place = request.config.stash[PLACE]
    watch = leaks.Watch(place.word, tuple(place.directories.values()), _factory(request.config).getbasetemp())
    yield
    if left := watch.left():
        watch.clear()
        lines = "\n".join(f"  {line}" for line in left)
        pytest.fail(f"{request.node.nodeid or request.path} leaves behind:\n{lines}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Directories that all programs share are looked at once, when nothing of this run is at work any more."""
    config = session.config
    if hasattr(config, "workerinput") or SHARED not in config.stash:
        return
    before: set[Path] = config.stash[SHARED]
    new = sorted(leaks.shared() - before)
    if new and not leaks.strangers(config.stash[PLACE].word):
        config.stash[LEFT] = [str(path) for path in new]
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left := config.stash.get(LEFT, []):
        terminalreporter.section("the run leaves behind", sep="!", red=True, bold=True)
        for line in left:
            terminalreporter.line(line)
