# SPDX-License-Identifier: GPL-2.0-only
"""Builds the guest kernel: tinyconfig and the fragments, out of tree, nothing as a module, cached by content."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import cache, steps
from ..errors import BuildFailed
from ..progress import Progress
from . import kconfig, source
from .arch import X86_64, Architecture
from .hostpkgs import program

# Raise it when the steps below change what comes out.
RECIPE = "1"
# Beside the image.
KEPT = {".config": "config", "System.map": "System.map", "vmlinux": "vmlinux"}
# Of a kernel that is not a variant of another one they are kept for its variants.
OBJECTS = "objects"
# Stands in a directory of objects whose configuration is complete.
CONFIGURED = ".vmtest-configured"
NEEDED_PROGRAMS = ("make", "gcc", "flex", "bison", "bc", "lz4")


@dataclass(frozen=True)
class KernelBuild:
    """A built kernel: a cache directory with its image, ``config``, ``System.map``, ``vmlinux`` (no debug info)."""

    directory: Path
    arch: Architecture = X86_64

    @property
    def image(self) -> Path:
        """What QEMU loads."""
        return self.directory / self.arch.image_name

    @property
    def config(self) -> Path:
        """The final configuration."""
        return self.directory / "config"


@dataclass(frozen=True)
class Recipe:
    """What is built: fragments in merge order, options on top of them ("n": not set), and what it is derived from."""

    fragments: tuple[Path, ...]
    options: tuple[tuple[str, str], ...] = ()
    base: Recipe | None = None
    arch: Architecture = X86_64

    def with_options(self, options: Mapping[str, str]) -> Recipe:
        """It with these on top."""
        return replace(self, options=tuple({**dict(self.options), **options}.items()))

    def text(self) -> str:
        """The options as a fragment."""
        return "".join(
            f"# {name} is not set\n" if value == "n" else f"{name}={value}\n" for name, value in self.options
        )


def known_to(tree: source.KernelSource, recipe: Recipe, suffix: str) -> Recipe:
    """The recipe without options that end in ``suffix`` and that the tree has not (yet, or any more).

    Only for options of which any number will do, like tests: others that are missing shall fail a build.
    """
    asked = {name for name, _ in recipe.options if name.endswith(suffix)}
    found = kconfig.declared(source.unpacked(tree))
    options = tuple((name, value) for name, value in recipe.options if name not in asked or name in found)
    return replace(recipe, options=options)


def shipped(arch: Architecture = X86_64) -> Recipe:
    """All fragments of ``images/kernel`` that an architecture has."""
    return Recipe(tuple(kconfig.fragments(arch=arch.name)), arch=arch)


def key_of(tree: source.KernelSource, recipe: Recipe) -> str:
    """Cache key of the kernel that this source and this recipe give."""
    parts: dict[str, str | bytes] = {"recipe": RECIPE, "source": tree.identity}
    parts.update({f"fragment {path.name}": path.read_bytes() for path in recipe.fragments})
    if recipe.options:
        parts["options"] = recipe.text()
    if recipe.arch is not X86_64:  # what was built before there was another keeps its key
        parts["architecture"] = recipe.arch.name
    return cache.content_key(parts)


def find(tree: source.KernelSource, recipe: Recipe | None = None) -> KernelBuild | None:
    """The kernel if it is built already."""
    chosen = recipe or shipped()
    directory = cache.lookup("kernel", key_of(tree, chosen))
    return KernelBuild(directory, chosen.arch) if directory else None


def obtain(tree: source.KernelSource, recipe: Recipe | None = None) -> KernelBuild:
    """The kernel, built when it is not in the cache (about five minutes on two processors, one for a derived one).

    Args:
        tree: from :mod:`vmtest.images.source`.
        recipe: default all the fragments in ``images/kernel``.

    Raises:
        MachineLacks: a program of the build is missing.
        BuildFailed: a step failed, or the tree dropped options that the recipe asks for.
    """
    chosen = recipe or shipped()
    found = find(tree, chosen)
    if found:
        return found
    for name in (*NEEDED_PROGRAMS, f"{chosen.arch.prefix}gcc"):
        program(name)
    directory = source.unpacked(tree)
    base = obtain(tree, chosen.base).directory / OBJECTS if chosen.base else None
    facts = {
        "source": tree.identity,
        "architecture": chosen.arch.name,
        "fragments": [path.name for path in chosen.fragments],
        "options": dict(chosen.options),
    }

    def build(scratch: Path, progress: Progress) -> None:
        if tree.tree is None:
            _build(directory, chosen, base, scratch, progress, scratch / OBJECTS)
            return
        # A tree that is worked on: the next build compiles what was changed since this one.
        key = key_of(replace(tree, identity=str(tree.tree)), chosen)
        with cache.reused("objects", key, progress) as kept:
            _build(directory, chosen, base, scratch, progress, kept)

    label = f"guest kernel from {tree.name}" + ("" if chosen.arch is X86_64 else f" for {chosen.arch.name}")
    return KernelBuild(cache.obtain("kernel", key_of(tree, chosen), label, build, facts), chosen.arch)


def _moved(objects: Path) -> None:
    """Corrects the paths in copied objects.

    The kernel's own tools are compiled with absolute paths: in another place they are compiled again, and after them
    every file that objtool looks at, which is every file.
    """
    for path in (objects / "tools").rglob(".*.cmd"):
        text = path.read_text(errors="surrogateescape")
        if match := re.search(rf"/[^\s,]*?/{OBJECTS}(?=/tools/)", text):
            stat = path.stat()
            path.write_text(text.replace(match[0], str(objects)), errors="surrogateescape")
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _prepare(objects: Path, base: Path | None, progress: Progress) -> None:
    """The directory of objects: what was compiled there before, a copy of the base's objects, or empty."""
    if (objects / CONFIGURED).exists():
        progress.update("what was compiled before is used")
    elif base is not None and base.is_dir() and not objects.exists():
        progress.update("copying the objects of its base")
        # Hard links would do for make, but not for the programs that it runs, which write in place.
        subprocess.run(["cp", "-a", "--reflink=auto", base, objects], check=True)
        _moved(objects)
    else:
        objects.mkdir(exist_ok=True)


def _configure(
    tree: Path,
    recipe: Recipe,
    scratch: Path,
    objects: Path,
    make: list[str],
    run: Callable[[Sequence[str | Path]], None],
) -> None:
    """Merges the fragments and checks that the tree honours them."""
    fragments = list(recipe.fragments)
    if recipe.options:
        fragments.append(scratch / "options.config")
        fragments[-1].write_text(recipe.text())
    wanted = kconfig.requested(fragments)
    if others := kconfig.others(wanted):
        fragments.insert(0, scratch / "others.config")
        fragments[0].write_text(others)
    configured = objects / CONFIGURED
    if not configured.exists():
        run([*make, "tinyconfig"])
        run([tree / "scripts/kconfig/merge_config.sh", "-m", "-O", objects, objects / ".config", *fragments])
    run([*make, "olddefconfig"])
    if missing := kconfig.not_honoured(wanted, (objects / ".config").read_text(), tree):
        names = ", ".join(f"{option} ({option.fragment})" for option in missing)
        raise BuildFailed(f"kernel tree: {tree}: does not honour: {names}; correct the fragments or their dependencies")
    if objects.parent != scratch:
        configured.touch()


def _build(tree: Path, recipe: Recipe, base: Path | None, scratch: Path, progress: Progress, objects: Path) -> None:
    _prepare(objects, base, progress)
    log = scratch / "build.log"
    # Reproducible: no user, host or time of day in the image.
    env = {"KBUILD_BUILD_USER": "vmtest", "KBUILD_BUILD_HOST": "vmtest", "KBUILD_BUILD_TIMESTAMP": "1970-01-01"}
    make = ["make", "-C", str(tree), f"O={objects}", *recipe.arch.make_words]

    def run(command: Sequence[str | Path], note: Callable[[str], str | None] | str = "configuring") -> None:
        steps.run(command, log, progress, note, cwd=objects, env=env)

    _configure(tree, recipe, scratch, objects, make, run)
    compiled = 0

    def note(line: str) -> str | None:
        nonlocal compiled
        if line.startswith(("  CC ", "  AS ")):
            compiled += 1
            return f"{compiled} files compiled"
        return "linking" if line.startswith("  LD      vmlinux") else None

    run([*make, f"-j{steps.jobs()}", recipe.arch.image_name], note)
    for path, name in {recipe.arch.image: recipe.arch.image_name, **KEPT}.items():
        shutil.copyfile(objects / path, scratch / name)
    if recipe.base is not None and objects.parent == scratch:
        shutil.rmtree(objects)
