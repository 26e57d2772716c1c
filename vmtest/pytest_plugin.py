# SPDX-License-Identifier: GPL-2.0-only
"""pytest: a ``guest`` fixture, one guest a module, configured by ``@pytest.mark.guest(memory="1G", swap="zram:512M")``;
``boot_guest()`` for more of the same.

Load it from the top conftest: ``pytest_plugins = ["vmtest.pytest_plugin"]``. A module whose guest cannot be had is
skipped, with the reason in the terminal summary; with ``VMTEST_REQUIRED=1`` in the environment that is a failure.
The SSH library is imported when a test asks for a guest, so the plugin may be loaded where it is not installed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from .errors import BuildFailed, GuestLost, MachineLacks

if TYPE_CHECKING:
    from .config import GuestConfig
    from .guest import Guest

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
    """Host folders copied into the module's guest; override it in a conftest or module."""
    return ()


@pytest.fixture(scope="module")
def guest_env() -> dict[str, str]:
    """Environment of commands in the module's guest; override it in a conftest or module."""
    return {}


@pytest.fixture(scope="module")
def _guest_config(
    request: pytest.FixtureRequest, guest_trees: tuple[tuple[str, str], ...], guest_env: dict[str, str]
) -> GuestConfig:
    from .config import GuestConfig

    items = [item for item in request.session.items if item.path == request.path]
    options = _options([marker for item in items for marker in item.iter_markers("guest")])
    return GuestConfig(**{"trees": guest_trees, "env": guest_env, **options})


def _start(config: GuestConfig) -> Guest:
    from .guest import Guest

    guest = Guest(config)
    try:
        guest.start()
    except (MachineLacks, BuildFailed) as error:
        reason = str(error).splitlines()[0]
        if os.environ.get(REQUIRED):
            pytest.fail(f"no guest, and {REQUIRED} is set: {error}", pytrace=False)
        _missing[reason] += 0
        pytest.skip(f"no guest: {reason}")
    return guest


@pytest.fixture(scope="module")
def _module_guest(_guest_config: GuestConfig) -> Iterator[Guest]:
    guest = _start(_guest_config)
    try:
        yield guest
    finally:
        guest.close()


@pytest.fixture
def guest(_module_guest: Guest) -> Guest:
    """The module's guest. A test that loses it fails; the tests after it get to know why."""
    if _module_guest.lost:
        raise _module_guest.lost
    return _module_guest


@pytest.fixture
def boot_guest(_guest_config: GuestConfig) -> Iterator[Callable[[], Guest]]:
    """Boots one more guest of the module's configuration, for a test that needs memory that nobody has used yet.

    It closes with the test, or before with ``close()``.
    """
    with ExitStack() as stack:

        def boot() -> Guest:
            guest = _start(_guest_config)
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
        report.sections.append(("guest lost", f"{error.summary}\n{error.excerpt}"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says loudly what did not run."""
    for reason, count in _missing.items():
        if count:
            terminalreporter.section("guest tests NOT RUN", sep="!", yellow=True, bold=True)
            terminalreporter.line(f"{count} test(s) skipped, no guest: {reason}", yellow=True)
            terminalreporter.line(
                f"'vmtest doctor' tells what is missing; {REQUIRED}=1 makes this a failure.", yellow=True
            )
