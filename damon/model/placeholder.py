# SPDX-License-Identifier: GPL-2.0-only
"""What stands for a worker, or for a simulated process, where only processes of the running system are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Placeholder(Protocol):
    """A process of the running system. It goes when it is closed."""

    pid: int

    def close(self) -> None: ...


#: Makes one with the name given.
Show = Callable[[str], Placeholder]
