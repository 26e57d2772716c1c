# SPDX-License-Identifier: GPL-2.0-only
"""The tree ``/sys/kernel/mm/damon`` as objects (``mm/damon/sysfs*.c``): ``Admin`` is its ``admin`` directory.

``node.py`` and ``values.py`` are files and directories, ``context.py``, ``targets.py``, ``schemes.py`` ... what they
mean, ``build.py`` makes contexts of them, ``kdamonds.py`` takes the commands.
"""

from damon.modules.sysfs.kdamonds import Admin
from damon.modules.sysfs.node import Directory, File, Node

__all__ = ["Admin", "Directory", "File", "Node"]
