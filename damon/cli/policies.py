# SPDX-License-Identifier: GPL-2.0-only
"""Files of policies: names, and for each the modules with their parameters as on the kernel's command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.modules.cmdline import parse_cmdline
from damon.quoting import quoted

#: Policies of all files.
MOST: Final = 100
EXAMPLE: Final = "cold-5s: damon_reclaim.min_age=5000000"


def read_policies(paths: Sequence[Path]) -> dict[str, str]:
    """The command line of each policy by its name, in the order of the files.

    Raises:
        InvalidInput: a file cannot be read or is wrong, or a name is given twice.
    """
    found: dict[str, str] = {}
    for path in paths:
        for name, line in _read(path).items():
            if name in found:
                raise InvalidInput(f"{path}: {quoted(name)}: is given twice; give each policy a name of its own")
            found[name] = line
    if len(found) > MOST:
        raise InvalidInput(f"policies: {len(found)}: are too many; give at most {MOST}")
    return found


def _read(path: Path) -> dict[str, str]:
    from damon.workload.load import read_yaml
    from damon.workload.schema import NAME
    from damon.workload.yaml12 import read_text

    try:
        data = read_yaml(read_text(path))[1]
    except OSError as error:
        raise InvalidInput(f"policies: {str(path)!r}: {error.strerror}; correct the path") from None
    except (InvalidInput, ValueError) as error:
        raise InvalidInput(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(data, dict) or not data:
        raise InvalidInput(f"{path}: {quoted(data)}: is not a mapping of names to command lines; give e.g. {EXAMPLE}")
    found: dict[str, str] = {}
    for name, line in data.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidInput(f"{path}: {quoted(name)}: is not a name; give 1 to 64 of letters, digits, _ . -")
        if not isinstance(line, str):
            raise InvalidInput(f"{path}: {name}: {quoted(line)}: is not a command line; give e.g. {EXAMPLE}")
        try:
            modules = parse_cmdline(line)
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {name}: {error.strerror}") from None
        if not modules:
            raise InvalidInput(
                f"{path}: {name}: {quoted(line)}: names no module; give one, with MODULE.enabled=N for none"
            )
        found[name] = " ".join(line.split())
    return found
