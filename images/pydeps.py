# SPDX-License-Identifier: GPL-2.0-only
"""Python packages that go into the image: the project's own run-time dependencies, and pytest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import tomllib
from pathlib import Path

from .. import steps
from ..errors import MachineLacks
from ..progress import Progress
from .arch import Architecture

DISTRIBUTION = "pydamon"
# Tests run in guests too, under the project's own pytest settings.
EXTRA = ("pytest>=8.2", "pytest-timeout>=2.3")
# Python of the image's Debian release, and the C libraries its wheels may need.
PYTHON = "3.11"
PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")


def requirements() -> list[str]:
    """What is installed: from pyproject.toml in a checkout, else from the installed package's metadata."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if project.is_file():
        declared = tomllib.loads(project.read_text())["project"]["dependencies"]
    else:
        declared = [line for line in importlib.metadata.requires(DISTRIBUTION) or [] if "extra ==" not in line]
    return sorted([*declared, *EXTRA])


def install(directory: Path, log: Path, progress: Progress, arch: Architecture) -> None:
    """Installs them into a directory, for the image's Python and architecture whatever the host's are.

    Raises:
        MachineLacks: this Python has no pip.
        BuildFailed: pip failed.
    """
    if importlib.util.find_spec("pip") is None:
        raise MachineLacks(f"Python: {sys.executable}: has no pip; install it with: {sys.executable} -m ensurepip")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    words += ["--target", str(directory)]
    words += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    for platform in PLATFORMS:
        words += ["--platform", f"{platform}_{arch.machine}"]
    steps.run([*words, *requirements()], log, progress, "installing Python packages")
