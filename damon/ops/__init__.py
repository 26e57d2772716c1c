# SPDX-License-Identifier: GPL-2.0-only
"""Operations sets: how each kind of address space is watched and acted on (``mm/damon/{vaddr,paddr,ops-common}.c``).

``operations.py`` is the interface, ``registry.py`` the table of sets; ``vaddr.py``, ``paddr.py`` implement them once
for every machine.
"""
