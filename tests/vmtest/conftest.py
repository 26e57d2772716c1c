# SPDX-License-Identifier: GPL-2.0-only
"""Files and descriptors of a guest that is not started."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmtest.qemu import command_line


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> command_line.Parts:
    monkeypatch.setattr(command_line, "program", lambda name: f"/usr/bin/{name}")
    return command_line.Parts(Path("/k/bzImage"), Path("/i/root,1.squashfs"), Path("/r/seed.tar"), None, 5, 7, "tcg")
