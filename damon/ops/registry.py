# SPDX-License-Identifier: GPL-2.0-only
"""The table of operations sets (the kernel's ``damon_register_ops`` and ``damon_select_ops``)."""

from __future__ import annotations

import errno

from damon.errors import DamonError, InvalidInput
from damon.model.operations import Operations
from damon.ops.paddr import Paddr
from damon.ops.vaddr import Fvaddr, Vaddr
from damon.ops.vaddr_exact import VaddrExact


class OperationsRegistry:
    """Operations sets by name; starts with the kernel's three, in the kernel's order.

    ``vaddr-exact`` can be selected as well; it is not among the names, as the kernel does not have it.
    """

    def __init__(self) -> None:
        self._sets: dict[str, Operations] = {}
        self._own: dict[str, Operations] = {VaddrExact.id: VaddrExact()}
        for operations in (Vaddr(), Fvaddr(), Paddr()):
            self.register(operations)

    def register(self, operations: Operations) -> None:
        """Add a set; EINVAL when its id is taken."""
        if operations.id in self._sets or operations.id in self._own:
            raise DamonError(errno.EINVAL, f"operations set: {operations.id!r}: is registered already; give another id")
        self._sets[operations.id] = operations

    def select(self, name: str) -> Operations:
        """The set called ``name``; EINVAL when there is none."""
        try:
            return self._sets.get(name) or self._own[name]
        except KeyError:
            known = ", ".join((*self._sets, *self._own))
            raise InvalidInput(f"operations set: {name!r}: is not registered; give one of {known}") from None

    def names(self) -> list[str]:
        return list(self._sets)
