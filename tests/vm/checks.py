# SPDX-License-Identifier: GPL-2.0-only
"""Runs a package of checks (``tests.vm.guest.checks``) in a guest: those that this session's tests ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.vm.job import PROJECT, PYTHON
from vmtest import Guest
from vmtest.errors import CommandTimeout

#: A guard for all checks of a package; what passes takes a tenth of it.
GUARD_S = 3000


def results(guest: Guest, package: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Of the checks of ``tests.vm.guest.PACKAGE`` that are the parameter ``name`` of a test in the module of
    ``request``: whether each passed, and what it saw."""
    items = [item for item in request.session.items if item.path == request.path and isinstance(item, pytest.Function)]
    names = [str(item.callspec.params["name"]) for item in items if hasattr(item, "callspec")]
    late = {name: {"ok": False, "error": f"it had not ended after {GUARD_S} s, or did not begin"} for name in names}
    if not names:
        return {}
    try:
        done = guest.run([PYTHON, "-m", f"tests.vm.guest.{package}", *names], cwd=PROJECT, timeout=GUARD_S).check()
        lines = done.text.splitlines()
    except CommandTimeout as error:
        lines = error.stdout.decode().splitlines()
    return late | {result["check"]: result for result in map(json.loads, lines)}


#: What emulation does now and then, and no kernel: its clock is not read for long, and a boot is tried again.
_EMULATION = ("clocksource: timekeeping watchdog", " while booting and was started again: ")


def complaints(guest: Guest) -> list[str]:
    """What the guest's kernel warned of."""
    return [warning for warning in guest.warnings if not any(text in warning for text in _EMULATION)]
