# SPDX-License-Identifier: GPL-2.0-only
"""Builds the guest kernel: tinyconfig and the fragments, out of tree, nothing as a module, cached by content."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from . import cache, kconfig, source, steps
from .errors import BuildFailed
from .hostpkgs import program
from .progress import Progress

# Raise it when the steps below change what comes out.
RECIPE = "1"
KEPT = {"arch/x86/boot/bzImage": "bzImage", ".config": "config", "System.map": "System.map", "vmlinux": "vmlinux"}
NEEDED_PROGRAMS = ("make", "gcc", "flex", "bison", "bc", "lz4")


@dataclass(frozen=True)
class KernelBuild:
    """A built kernel: a cache folder with ``bzImage``, ``config``, ``System.map``, ``vmlinux`` (no debug info)."""

    folder: Path

    @property
    def image(self) -> Path:
        """What QEMU loads."""
        return self.folder / "bzImage"

    @property
    def config(self) -> Path:
        """The final configuration."""
        return self.folder / "config"


def key_of(tree: source.KernelSource, fragments: list[Path]) -> str:
    """Cache key of the kernel that this source and these fragments give."""
    parts: dict[str, str | bytes] = {"recipe": RECIPE, "source": tree.identity}
    parts.update({f"fragment {path.name}": path.read_bytes() for path in fragments})
    return cache.content_key(parts)


def find(tree: source.KernelSource, fragments: list[Path] | None = None) -> KernelBuild | None:
    """The kernel if it is built already."""
    folder = cache.lookup("kernel", key_of(tree, fragments or kconfig.fragments()))
    return KernelBuild(folder) if folder else None


def obtain(tree: source.KernelSource, fragments: list[Path] | None = None) -> KernelBuild:
    """The kernel, built when it is not in the cache (about five minutes on two processors).

    Args:
        tree: from :mod:`vmtest.images.source`.
        fragments: config fragments in merge order; default the ones shipped in ``images/kernel``.

    Raises:
        MachineLacks: a program of the build is missing.
        BuildFailed: a step failed, or the tree dropped options that the fragments ask for.
    """
    chosen = fragments or kconfig.fragments()
    found = find(tree, chosen)
    if found:
        return found
    for name in NEEDED_PROGRAMS:
        program(name)
    folder = source.unpacked(tree)
    facts = {"source": tree.identity, "fragments": [path.name for path in chosen]}

    def build(scratch: Path, progress: Progress) -> None:
        _build(folder, chosen, scratch, progress)

    label = f"guest kernel from {tree.name}"
    return KernelBuild(cache.obtain("kernel", key_of(tree, chosen), label, build, facts))


def _build(tree: Path, fragments: list[Path], scratch: Path, progress: Progress) -> None:
    objects = scratch / "objects"
    objects.mkdir()
    log = scratch / "build.log"
    # Reproducible: no user, host or time of day in the image.
    env = {"KBUILD_BUILD_USER": "vmtest", "KBUILD_BUILD_HOST": "vmtest", "KBUILD_BUILD_TIMESTAMP": "1970-01-01"}
    make = ["make", "-C", str(tree), f"O={objects}"]
    steps.run([*make, "tinyconfig"], log, progress, "configuring", env=env)
    merge = tree / "scripts/kconfig/merge_config.sh"
    merged: list[str | Path] = [merge, "-m", "-O", objects, objects / ".config", *fragments]
    steps.run(merged, log, progress, "configuring", cwd=objects, env=env)
    steps.run([*make, "olddefconfig"], log, progress, "configuring", env=env)
    missing = kconfig.dropped(kconfig.requested(fragments), (objects / ".config").read_text())
    if missing:
        names = ", ".join(f"{option} ({option.fragment})" for option in missing)
        raise BuildFailed(
            f"the kernel tree {tree} does not honour: {names}; correct the fragments or their dependencies"
        )
    compiled = 0

    def note(line: str) -> str | None:
        nonlocal compiled
        if line.startswith(("  CC ", "  AS ")):
            compiled += 1
            return f"{compiled} files compiled"
        return "linking" if line.startswith("  LD      vmlinux") else None

    steps.run([*make, f"-j{steps.jobs()}", "bzImage"], log, progress, note, env=env)
    for path, name in KEPT.items():
        shutil.copyfile(objects / path, scratch / name)
    shutil.rmtree(objects)
