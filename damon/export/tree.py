# SPDX-License-Identifier: GPL-2.0-only
"""An exported file as a sample of a kernel tree."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.quoting import quoted

DIRECTORY: Final = "samples/damon"
#: Stands in the first lines of each exported file.
MARK: Final = "written by damon export"
_HEAD: Final = 400


def as_sample(tree: Path, name: str, text: str) -> dict[Path, str]:
    """The files of a tree that make an exported file a sample, built in: ``samples/damon/NAME.c``, the Makefile there.

    An older export of that name is replaced.

    Raises:
        InvalidInput: the tree has no such directory, or a file of that name that is not an export's.
    """
    directory = tree / DIRECTORY
    makefile, file = directory / "Makefile", directory / f"{name}.c"
    if not makefile.is_file():
        raise InvalidInput(
            f"--tree {quoted(str(tree))}: it has no {DIRECTORY}/Makefile; give a kernel tree of 7.2 or later"
        )
    if os.path.lexists(file) and not (file.is_file() and MARK in file.read_text(errors="replace")[:_HEAD]):
        raise InvalidInput(f"{DIRECTORY}/{file.name}: is not an exported file; give the policy another name")
    rules, line = makefile.read_text(), f"obj-y += {name}.o"
    if re.search(rf"^{re.escape(line)}$", rules, re.MULTILINE):
        return {file: text}
    return {file: text, makefile: rules.rstrip("\n") + f"\n{line}\n"}
