# SPDX-License-Identifier: GPL-2.0-only
"""What the host's apt is configured to use: its Debian mirror, the keys of that, and how it reaches the network."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import MissingCapability
from ..steps import found

APT: Final = Path("/etc/apt")
KEYRINGS: Final = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
#: Names of suites that Debian has at any time; the host's code name comes to these.
_SUITES: Final = frozenset(("oldstable", "stable", "testing", "unstable", "sid"))
#: Options for reaching the network, and for which dates of a Release file are accepted. Whether packages without
#: a signature are is not among them.
_TAKEN: Final = re.compile(
    r"Acquire::(?:(?:http|https|ftp|mirror|socks|tor)(?:::|$)"
    r"|(?:Check-Valid-Until|Check-Date|Max-ValidTime|Min-ValidTime|Retries|ForceIPv[46]|Queue-Mode|By-Hash)$)"
)
_OPTION: Final = re.compile(r'([A-Za-z0-9+./_:@-]+) "(.*)";')


@dataclass(frozen=True)
class Entry:
    """One enabled entry of binary packages.

    Args:
        uris: where, each as apt reads it.
        suites: names of suites.
        components: names of components.
        signed_by: the keys that the entry names: paths, fingerprints, a key itself, or "".
    """

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def stanzas(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The stanzas of a ``.sources`` file: text, and fields by name in lower case; further lines stay lines."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')}\n {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        yield stanza, fields


def binary(fields: Mapping[str, str]) -> bool:
    """Whether a stanza is enabled and of binary packages."""
    return fields.get("enabled", "yes").lower() not in ("no", "false", "0") and "deb" in fields.get("types", "").split()


def entries(apt: Path = APT) -> list[Entry]:
    """The enabled entries of binary packages, in apt's order.

    Args:
        apt: apt's configuration directory.
    """
    parts = apt / "sources.list.d"
    taken = [*parts.glob("*.list"), *parts.glob("*.sources")]
    all_of_them: list[Entry] = []
    for path in [apt / "sources.list", *sorted(taken)]:
        try:
            text = path.read_text(errors="replace")
        except OSError:  # missing, or for root only
            continue
        all_of_them += _deb822(text) if path.suffix == ".sources" else _lines(text)
    return all_of_them


def _deb822(text: str) -> Iterator[Entry]:
    for _, fields in stanzas(text):
        if binary(fields):
            uris, suites, components = (
                tuple(fields.get(name, "").split()) for name in ("uris", "suites", "components")
            )
            yield Entry(uris, suites, components, fields.get("signed-by", ""))


def _lines(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            key = re.search(r"(?:^|\s)signed-by=(\S+)", match[1] or "")
            yield Entry(
                (match[2],),
                (match[3],),
                tuple(match[4].split()),
                " ".join(key[1].split(",")) if key is not None else "",
            )


@dataclass(frozen=True)
class Mirror:
    """Where Debian's packages come from; ``signed_by`` as in :class:`Entry`, never empty."""

    uri: str
    signed_by: str
    suites: tuple[str, ...]


def mirror(apt: Path = APT, keyrings: tuple[Path, ...] = KEYRINGS, release: str | None = None) -> Mirror:
    """The mirror of the host's first entry of Debian's main component, with the suites that the host takes from it.

    Args:
        apt: apt's configuration directory.
        keyrings: files that may have Debian's keys, for an entry that names none.
        release: code name of the host's release; None: that of ``/etc/os-release``.

    Raises:
        MissingCapability: the host has no such entry, or no keys.
    """
    names = _SUITES | {release if release is not None else _codename()}
    whole = [one for one in entries(apt) if one.uris and "main" in one.components]
    # Others than Debian call a suite by Debian's names, too: an entry with Debian's keys comes first.
    fitting = [one for one in whole if names.intersection(one.suites)]
    fitting.sort(key=lambda one: 0 if "debian-archive" in one.signed_by else 1 if not one.signed_by else 2)
    if not fitting:
        raise MissingCapability(
            f"apt sources: {apt}/sources.list and sources.list.d: none is of Debian's main component; "
            "add one (deb http://deb.debian.org/debian stable main), or give a kernel tree"
        )
    first = fitting[0]
    keys = first.signed_by or next((str(path) for path in keyrings if path.is_file()), "")
    if not keys:
        raise MissingCapability(
            f"apt keys: {keyrings[0]}: it does not exist, and the entry of {first.uris[0]} names no others; "
            "install it with: apt-get install debian-archive-keyring"
        )
    own = [suite for one in whole if one.uris[0] == first.uris[0] for suite in one.suites]
    return Mirror(first.uris[0], keys, tuple(dict.fromkeys(own)))


def options() -> dict[str, str]:
    """The host's apt options for reaching the network and for the dates that it accepts.

    Raises:
        MissingCapability: there is no apt.
    """
    words = [found("apt-config", "apt"), "dump"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    matches = (_OPTION.fullmatch(line) for line in done.stdout.splitlines())
    return {match[1]: match[2] for match in matches if match is not None and _TAKEN.match(match[1]) and match[2]}


def _codename() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""
