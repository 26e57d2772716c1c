# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest doctor``."""

from __future__ import annotations

import argparse
from typing import Any

from ..terminal import output


def add(commands: Any) -> None:
    """Adds the command to the command line."""
    doctor = commands.add_parser(
        "doctor", help="what is missing here, the remedy, and which accelerator works", description=_doctor.__doc__
    )
    doctor.set_defaults(call=_doctor)


def _doctor(_options: argparse.Namespace) -> int:
    """Checks packages, disk, memory, kernel, image and accelerator. Ends with 3 when something is missing that guests
    need; a kernel or image that is not built yet is not: it is built when first needed."""
    from rich.markup import escape

    from ..doctor import examine

    console = output()
    findings = examine()
    for finding in findings:
        mark = "[green]ok[/]" if finding.good else "[red]--[/]"
        console.print(f"{mark}  {finding.what}: {escape(finding.found)}")
        if not finding.good:
            console.print(f"    remedy: {escape(finding.remedy)}")
    return 0 if all(finding.good or finding.optional for finding in findings) else 3
