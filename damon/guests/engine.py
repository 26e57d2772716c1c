# SPDX-License-Identifier: GPL-2.0-only
"""An engine in a guest, as it is written: ``guest:pydamon``, ``guest:host``, ``guest:host@stock``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from damon.errors import InvalidInput
from damon.library.engine import HOST, OWN
from damon.quoting import quoted

PREFIX: Final = "guest:"
FORMS: Final = "guest:pydamon (on real page tables) or guest:host (the guest kernel's own), with @KERNEL for another"
#: Has idle page tracking for the one and DAMON for the other, so that both run on the same kernel.
KERNEL: Final = "page-idle"


class GuestFailed(Exception):
    """A run in a guest has no result; the message has the reason.

    Attributes:
        code: how the command should end: 2 and 3 as the run in the guest did, else 1.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class GuestEngine:
    """``engine`` in a guest with ``kernel``: the name of one of vmtest's, or an image's path."""

    engine: str
    kernel: str = KERNEL

    def __str__(self) -> str:
        return f"{PREFIX}{self.engine}" + (f"@{self.kernel}" if self.kernel != KERNEL else "")

    @classmethod
    def parse(cls, text: str) -> GuestEngine | None:
        """Of ``guest:ENGINE[@KERNEL]``; None of what does not begin so.

        Raises:
            InvalidInput: it begins so, and is none.
        """
        if not text.startswith(PREFIX):
            return None
        engine, at, kernel = text.removeprefix(PREFIX).partition("@")
        if engine not in (OWN, HOST) or (at and not kernel):
            raise InvalidInput(f"engine: {quoted(text)}: is unknown in a guest; give {FORMS}")
        return cls(engine, kernel or KERNEL)
