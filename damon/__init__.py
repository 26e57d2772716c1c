# SPDX-License-Identifier: GPL-2.0-only
"""DAMON, Linux's data access monitor and its access-aware operation schemes, in user space.

Rooms, top to bottom: ``cli``, ``modules``, ``core``, ``ops``, ``mm``, ``model``, ``native``; ``workload`` stands beside
them. ``docs/architecture.md`` has the picture.
"""
