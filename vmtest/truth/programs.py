# SPDX-License-Identifier: GPL-2.0-only
"""The plugin and the agent, compiled on first use and kept by content."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..cache import content_key, obtain
from ..images.hostpkgs import program
from ..progress import Progress
from ..steps import run

KIND: Final = "truth"
PLUGIN: Final = "plugin.so"
AGENT: Final = "agent"
_HERE: Final = Path(__file__).parent
_SOURCES: Final = {PLUGIN: ("plugin.c", "access.c", "windows.c"), AGENT: ("agent.c", "look.c", "processes.c")}
#: The agent runs in any guest of this architecture, whatever libraries that has.
_FLAGS: Final = {PLUGIN: ("-fPIC", "-fvisibility=hidden", "-shared", "-lpthread"), AGENT: ("-static",)}
_COMMON: Final = ("-std=gnu11", "-O2", "-fno-strict-aliasing")


def directory() -> Path:
    """Where ``PLUGIN`` and ``AGENT`` are.

    Raises:
        MachineLacks: there is no compiler, or no space.
        BuildFailed: it failed.
    """
    compiler = program("gcc")
    sources = {path.name: path.read_bytes() for path in sorted(_HERE.glob("*.[ch]"))}
    key = content_key({**sources, "flags": repr((_COMMON, _FLAGS)), "compiler": compiler})

    def build(scratch: Path, progress: Progress) -> None:
        for name, files in _SOURCES.items():
            words: list[str | Path] = [
                compiler,
                *_COMMON,
                "-o",
                scratch / name,
                *(_HERE / file for file in files),
                *_FLAGS[name],
            ]
            run(words, scratch / "log", progress, name, cwd=scratch)

    return obtain(KIND, key, "plugin for truth", build, {"kind": KIND})
