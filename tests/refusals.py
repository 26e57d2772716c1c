# SPDX-License-Identifier: GPL-2.0-only
"""Refusals: a block that has to fail with a certain errno."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from damon.errors import DamonError


@contextmanager
def refused(number: int) -> Iterator[pytest.ExceptionInfo[DamonError]]:
    """The block raises a ``DamonError`` with that errno, whose message is one line."""
    with pytest.raises(DamonError) as caught:
        yield caught
    error = caught.value
    assert error.errno == number, (errno.errorcode.get(error.errno or 0), str(error))
    assert "\n" not in str(error)
