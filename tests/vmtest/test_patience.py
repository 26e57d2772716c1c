# SPDX-License-Identifier: GPL-2.0-only
"""Limits for a host that is busy: longer by a factor of the environment, never shorter."""

from __future__ import annotations

import pytest

from vmtest.config import Timeouts
from vmtest.errors import InvalidInput
from vmtest.patience import VARIABLE, patient


def test_limits_are_so_many_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert patient(20) == 20
    plain = Timeouts()
    monkeypatch.setenv(VARIABLE, "2.5")
    longer = Timeouts(command=7)
    assert (longer.boot, longer.silence, longer.login) == (2.5 * plain.boot, 2.5 * plain.silence, 2.5 * plain.login)
    assert longer.command == 7, "what is said is meant"


@pytest.mark.parametrize("text", ["0.5", "0", "-1", "nan", "inf", "much", "1e9", "x" * 10000])
def test_what_is_no_patience_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(InvalidInput, match=r"VMTEST_PATIENCE: .* 1 to 1000") as caught:
        patient(1)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
