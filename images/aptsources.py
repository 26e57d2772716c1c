# SPDX-License-Identifier: GPL-2.0-only
"""Where packages for the root file system come from: the host's own apt sources for the release, when it has any."""

from __future__ import annotations

import re
from pathlib import Path

from ..apt import host


def for_release(release: str, apt: Path = host.APT) -> str:
    """The host's sources for a Debian release, as text that mmdebstrap reads from its standard input.

    Only entries for the release itself and its ``-updates``, ``-security`` and the like are taken; empty when the host
    has none (then mmdebstrap's own default serves).

    Args:
        release: code name.
        apt: apt's configuration directory.
    """
    wanted = re.compile(rf"{re.escape(release)}(-updates|-security|-proposed-updates|/updates)?/?$")
    stanzas: list[str] = []
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza, fields in host.stanzas(path.read_text(errors="replace")):
            if not host.binary(fields):
                continue
            suites = fields.get("suites", "").split()
            if suites and all(wanted.match(suite) for suite in suites):
                stanzas.append("\n".join(line for line in stanza.splitlines() if not line.startswith("#")).strip())
    if stanzas:
        return "\n\n".join(stanzas) + "\n"
    lines: list[str] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]:
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?\S+\s+(\S+)", line)
            if match and wanted.match(match[1]):
                lines.append(line.strip())
    return "\n".join(lines) + "\n" if lines else ""
