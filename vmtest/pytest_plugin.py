# SPDX-License-Identifier: GPL-2.0-only
"""pytest: a ``guest`` fixture, one guest a module, configured by ``@pytest.mark.guest(memory="1G", swap="zram:512M")``;
``boot_guest()`` for more of the same. ``--guest-kernel`` names the kernel for markers without one.

Load it from the top conftest: ``pytest_plugins = ["vmtest.pytest_plugin"]``. A module without a guest is
skipped, with the reason in the terminal summary; with ``VMTEST_REQUIRED=1`` in the environment that is a failure.

A test that loses its guest is neither passed nor failed but lost: a category of its own with the verdict, the
console's excerpt and the directory with the guest's artifacts (``--guest-artifacts DIR``; else among pytest's temporary
directories). The module's next test gets a new guest. With ``@pytest.mark.guest(snapshot=True)`` every test does: it
goes on from a snapshot of a booted guest, which takes less than a second where a boot takes several.
The SSH library is imported when a test asks for a guest, so the plugin may be loaded where it is not installed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .errors import BuildFailed, GuestLost, MachineLacks

if TYPE_CHECKING:
    from .config import GuestConfig
    from .guest import Guest
    from .images.arch import Architecture

REQUIRED = "VMTEST_REQUIRED"
_missing: Counter[str] = Counter()


def _options(markers: list[pytest.Mark]) -> dict[str, Any]:
    """What the markers ask for: a module's own marker first, then its tests' - which must agree."""
    options: dict[str, Any] = {}
    for marker in markers:
        for name, value in marker.kwargs.items():
            if options.setdefault(name, value) != value:
                both = f"{name}={options[name]!r} and {name}={value!r}"
                raise pytest.UsageError(f"guest marker: {both} in one module; a module has one guest, split it")
    return options


@pytest.fixture(scope="module")
def guest_trees() -> tuple[tuple[str, str], ...]:
    """Host directories copied into the module's guest; override it in a conftest or module."""
    return ()


@pytest.fixture(scope="module")
def guest_env() -> dict[str, str]:
    """Environment of commands in the module's guest; override it in a conftest or module."""
    return {}


@pytest.fixture(scope="module")
def _guest_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    items = [item for item in request.session.items if item.path == request.path]
    options = _options([marker for item in items for marker in item.iter_markers("guest")])
    kernel: str | None = request.config.getoption("--guest-kernel")
    return {"kernel": kernel, **options} if kernel else options


@pytest.fixture(scope="module")
def guest_arch(_guest_options: dict[str, Any]) -> Architecture:
    """The architecture of the module's guest, for a ``guest_trees`` that depends on it."""
    from .config import GuestConfig

    return GuestConfig(**_guest_options).arch


@pytest.fixture(scope="module")
def _guest_config(
    _guest_options: dict[str, Any], guest_trees: tuple[tuple[str, str], ...], guest_env: dict[str, str]
) -> GuestConfig:
    from .config import GuestConfig

    return GuestConfig(**{"trees": guest_trees, "env": guest_env, **_guest_options})


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--guest-artifacts`` and ``--guest-kernel``."""
    group = parser.getgroup("guest")
    group.addoption(
        "--guest-artifacts", type=Path, metavar="DIR", help="directory for the guests' consoles and command lines"
    )
    group.addoption(
        "--guest-kernel", metavar="NAME|IMAGE", help="kernel for modules that name none (default: page-idle)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, for projects that run with ``--strict-markers``."""
    config.addinivalue_line(
        "markers", "guest: runs in a QEMU guest that the harness boots; keyword arguments configure the guest"
    )


def _start(config: GuestConfig, artifacts: Path) -> Guest:
    from .guest import Guest
    from .qemu import dump

    guest = Guest(config, artifacts=artifacts, most_dumps=dump.MOST)
    try:
        guest.start()
    except (MachineLacks, BuildFailed) as error:
        reason = str(error).splitlines()[0]
        if os.environ.get(REQUIRED):
            pytest.fail(f"no guest, and {REQUIRED} is set: {error}", pytrace=False)
        _missing[reason] += 0
        pytest.skip(f"no guest: {reason}")
    except GuestLost as lost:
        _keep(guest, lost)
        raise
    return guest


def _keep(guest: Guest, lost: GuestLost) -> None:
    """What of a lost guest is kept beside its console."""
    from .results import evidence, symbols

    directory = guest.artifacts
    if directory is None or hasattr(lost, "artifacts"):
        return
    lost.artifacts = directory  # type: ignore[attr-defined]
    with suppress(Exception):  # evidence never hides what it is of
        kernel = Path(guest.command_line[guest.command_line.index("-kernel") + 1])
        lost.excerpt = symbols.decode(lost.excerpt, symbols.vmlinux_of(kernel))
        (directory / "excerpt.txt").write_text(f"{lost.summary}\n{lost.excerpt}\n", encoding="utf-8")
        evidence.keep_command_line(guest, directory, kernel, Path("root"))


@pytest.fixture(scope="module")
def _new_artifacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a directory for one guest."""
    base: Path | None = request.config.getoption("--guest-artifacts")
    module = re.sub(r"[^\w.-]", "_", request.node.name)

    def make() -> Path:
        if base is None:
            return tmp_path_factory.mktemp("guest")
        base.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            directory = base / f"{module}-{number}"
            with suppress(FileExistsError):
                directory.mkdir()
                return directory
        raise FileExistsError(f"{base} is full of directories of {module}")

    return make


class _Holder:
    """A module's guest, and a new one once it is lost; with ``snapshot=True`` one for each test, as after its boot."""

    def __init__(self, config: GuestConfig, new_artifacts: Callable[[], Path]) -> None:
        self._config = config
        self._new_artifacts = new_artifacts
        self._guest: Guest | None = None

    def guest(self) -> Guest:
        if self._guest is not None and (self._guest.lost or self._config.snapshot):
            self.close()
        if self._guest is None:
            self._guest = _start(self._config, self._new_artifacts())
        return self._guest

    def close(self) -> None:
        if self._guest is not None:
            self._guest.close()
            self._guest = None


@pytest.fixture(scope="module")
def _module_guest(_guest_config: GuestConfig, _new_artifacts: Callable[[], Path]) -> Iterator[_Holder]:
    holder = _Holder(_guest_config, _new_artifacts)
    try:
        yield holder
    finally:
        holder.close()


@pytest.fixture
def guest(_module_guest: _Holder) -> Guest:
    """The module's guest; a new one when a test before has lost it."""
    return _module_guest.guest()


@pytest.fixture
def boot_guest(_guest_config: GuestConfig, _new_artifacts: Callable[[], Path]) -> Iterator[Callable[[], Guest]]:
    """Boots one more guest of the module's configuration, for a test that needs memory that was not used before.

    It closes with the test, or before with ``close()``.
    """
    with ExitStack() as stack:

        def boot() -> Guest:
            guest = _start(_guest_config, _new_artifacts())
            stack.callback(guest.close)
            return guest

        yield boot


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Counts the tests that a missing guest skipped, and adds the console to those that a lost guest failed."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    if report.skipped and isinstance(report.longrepr, tuple) and "no guest: " in report.longrepr[2]:
        _missing[report.longrepr[2].partition("no guest: ")[2]] += 1
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, GuestLost):
        report.guest_verdict = error.verdict.value  # type: ignore[attr-defined]
        given: Any = item.funcargs.get("guest") if isinstance(item, pytest.Function) else None
        if given is not None and given.lost is error:
            _keep(given, error)
        directory = getattr(error, "artifacts", None)
        where = [f"artifacts: {directory}"] if directory else []
        report.longrepr = "\n".join([error.summary, *([error.excerpt] if error.excerpt else []), *where])


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, Any] | None:
    """A lost guest is a category of its own."""
    verdict = getattr(report, "guest_verdict", None)
    if verdict is None or not report.failed:
        return None
    return "guest lost", "L", (f"GUEST LOST: {verdict}", {"red": True, "bold": True})


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """Prints which guests were lost and which tests did not run; at the very end, a line for each lost guest."""
    lost = terminalreporter.getreports("guest lost")
    for report in lost:
        terminalreporter.section(f"guest lost in {report.nodeid}", sep="!", red=True, bold=True)
        terminalreporter.line(str(report.longrepr))
    for reason, count in _missing.items():
        if count:
            terminalreporter.section("guest tests NOT RUN", sep="!", yellow=True, bold=True)
            terminalreporter.line(f"{count} test(s) skipped, no guest: {reason}", yellow=True)
            terminalreporter.line(
                f"'vmtest doctor' lists what is missing; {REQUIRED}=1 makes this a failure.", yellow=True
            )
    yield
    for report in lost:
        terminalreporter.line(f"GUEST LOST {report.nodeid} - {str(report.longrepr).partition(chr(10))[0]}", red=True)
