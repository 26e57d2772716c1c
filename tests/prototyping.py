# SPDX-License-Identifier: GPL-2.0-only
"""The program and the outputs of docs/how-to/prototyping.md."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[1] / "docs/how-to/prototyping.md"
README = PAGE.parents[2] / "README.md"
#: The block that opens the simulated machine itself.
OPENS = "with damon.open_machine("


def blocks(language: str, page: Path = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def program() -> ModuleType:
    """Everything that the page defines, as one module."""
    module = ModuleType("prototype")
    source = "\n\n".join(block for block in blocks("python") if not block.startswith(OPENS))
    exec(compile(source, str(PAGE), "exec", dont_inherit=True), module.__dict__)
    return module
