# SPDX-License-Identifier: GPL-2.0-only
"""From a raw file of ``vmtest truth`` to a trace file: ``clock.py`` has the guest's time of each window, ``maps.py``
reads which process had which page frame when, ``areas.py`` makes areas of that, ``convert.py`` writes the trace.
"""

from __future__ import annotations

from pathlib import Path


def is_raw(path: Path) -> bool:
    """Is it a raw file of ``vmtest truth``?"""
    from vmtest.truth import form

    return form.is_raw(path)
