# SPDX-License-Identifier: GPL-2.0-only
"""What is left of a simulated machine that was closed: an error for any further use."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from damon.errors import DamonError


class Releasable:
    """Holds native memory. ``release()`` drops it; then each use of a missing attribute is an error: closed.

    Memory goes with its last reference: a record that a caller took from the machine and still holds stays readable.
    """

    #: Whether it was dropped.
    released = False

    def release(self, *names: str) -> None:
        """Drop the attributes ``names``, without names all of them."""
        for name in names or list(self.__dict__):
            self.__dict__.pop(name, None)
        self.released = True

    if not TYPE_CHECKING:  # a type checker would take every attribute for one that is there

        def __getattr__(self, name: str) -> object:
            if self.released and not name.startswith("__"):
                raise DamonError(errno.ENODEV, f"{name}: the simulated machine is closed; open another one")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
