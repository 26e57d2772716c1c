# SPDX-License-Identifier: GPL-2.0-only
"""Where packages for the root file system come from: the host's own apt sources for the release, when it has any."""

from __future__ import annotations

import re
from pathlib import Path

APT = Path("/etc/apt")


def for_release(release: str, apt: Path = APT) -> str:
    """The host's sources for a Debian release, as text that mmdebstrap reads from its standard input.

    Only entries for the release itself and its ``-updates``, ``-security`` and the like are taken; empty when the host
    has none (then mmdebstrap's own default serves).

    Args:
        release: code name.
        apt: apt's configuration folder.
    """
    wanted = re.compile(rf"{re.escape(release)}(-updates|-security|-proposed-updates|/updates)?/?$")
    stanzas: list[str] = []
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(errors="replace")):
            fields = _fields(stanza)
            disabled = fields.get("enabled", "yes").lower() in ("no", "false", "0")
            if disabled or "deb" not in fields.get("types", "").split():
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


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = fields.get(name, "") + " " + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields
