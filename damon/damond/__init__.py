# SPDX-License-Identifier: GPL-2.0-only
"""``damond``: the long-running service that is "the kernel" of this emulation, behind the kernel's own files.

``service.py`` puts it together: ``runner.py`` where workers live, ``tree.py`` the files, ``fusefs.py`` their mount,
``instance.py`` one service for each mount, ``control.py`` its clients.
"""
