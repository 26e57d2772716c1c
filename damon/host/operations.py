# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's operations sets by name, as a context holds them. They do not run here."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.errors import DamonError
from damon.model.context import DamonCtx
from damon.model.operations import Operations


@dataclass
class HostSpace:
    """A process by its id; the kernel takes hold of it when the context starts."""

    pid: int

    def alive(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()

    def close(self) -> None:
        """Nothing is held here."""


class _Kernels(Operations):
    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        raise _not_here(self.id)

    def check_accesses(self, ctx: DamonCtx) -> int:
        raise _not_here(self.id)


def _not_here(name: str) -> DamonError:
    return DamonError(errno.EOPNOTSUPP, f"operations set {name} of the kernel: it runs in the kernel; start it there")


class _Vaddr(_Kernels):
    id = "vaddr"
    has_pid = True


class _Fvaddr(_Kernels):
    id = "fvaddr"
    has_pid = True


class _Paddr(_Kernels):
    id = "paddr"


SETS: Final[dict[str, type[Operations]]] = {kind.id: kind for kind in (_Vaddr, _Fvaddr, _Paddr)}
