# SPDX-License-Identifier: GPL-2.0-only
"""A distribution's kernel as a guest's: unpacked from its package without installing it, with a small initramfs.

Such kernels have the drivers of a guest's disk, network and root file system as modules. The initramfs loads those, and
others that guests use, and hands over to the ordinary root.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from .. import cache, steps
from ..errors import BuildFailed, InvalidInput, MachineLacks
from ..progress import Progress
from . import initramfs, rootfs_build
from .arch import X86_64, Architecture, of_debian
from .hostpkgs import program
from .kernel_build import KernelBuild

# Raise it when the steps below change what comes out.
RECIPE = "1"
META = re.compile(r"\blinux-image-\d[\w.+-]*")
KINDS = {"config": "config", "System.map": "System.map"}


def is_package(text: str) -> bool:
    """Whether this names a kernel package, or a file of one."""
    return text.endswith(".deb") or text.startswith("linux-image-")


def obtain(what: str) -> KernelBuild:
    """The kernel of a package: its name (downloaded by apt, not installed) or a ``.deb`` file.

    Raises:
        InvalidInput: the file is not a kernel package.
        MachineLacks: apt has no such package, or a program is missing.
        BuildFailed: it has no kernel, or lacks a driver that a guest needs.
    """
    for needed in ("dpkg-deb", "unsquashfs"):
        program(needed)
    key, package, version = _key(what)
    arch = _arch(what)
    rootfs = rootfs_build.obtain(arch).image

    def build(directory: Path, progress: Progress) -> None:
        log = directory / "build.log"
        deb = Path(what)
        if package:
            progress.update("downloading")
            steps.run(
                [program("apt-get"), "download", f"{package}={version}"], log, progress, "downloading", cwd=directory
            )
            deb = next(directory.glob("*.deb"))
        steps.run([program("dpkg-deb"), "-x", deb.resolve(), directory / "unpacked"], log, progress, "unpacking")
        _take(directory, arch, rootfs)

    label = f"guest kernel of {package or Path(what).name}"
    facts = {"package": what, "version": version, "architecture": arch.name}
    return KernelBuild(cache.obtain("kernel", key, label, build, facts), arch)


def find(what: str) -> KernelBuild | None:
    """The kernel if it was unpacked before. apt, which can take seconds to answer, is asked only about what was."""
    if not what.endswith(".deb") and not any(facts.get("package") == what for facts in cache.manifests("kernel")):
        return None
    directory = cache.lookup("kernel", _key(what)[0])
    return KernelBuild(directory, _arch(what)) if directory else None


def _arch(what: str) -> Architecture:
    """Of a package's file, from its own control data; a name is looked up by apt for this machine."""
    if not what.endswith(".deb"):
        return X86_64
    words = [program("dpkg-deb"), "-f", what, "Architecture"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InvalidInput(f"kernel package: {what!r}: is not a Debian package; give a linux-image-*.deb")
    return of_debian(done.stdout.strip())


def _key(what: str) -> tuple[str, str, str]:
    """Cache key, package ("" for a file) and version."""
    parts = {"recipe": RECIPE, "init": initramfs.INIT, "modules": " ".join(initramfs.WANTED)}
    if what.endswith(".deb"):
        try:
            digest = hashlib.sha256(Path(what).read_bytes()).hexdigest()
        except OSError as error:
            raise InvalidInput(
                f"kernel package: {what!r}: cannot be read ({error.strerror}); correct the path"
            ) from error
        return cache.content_key({**parts, "file": digest}), "", digest[:12]
    package, version = _resolve(what)
    return cache.content_key({**parts, "package": f"{package} {version}"}), package, version


def _resolve(name: str) -> tuple[str, str]:
    """The package that has the kernel, and its newest version: a metapackage only depends on it."""
    for _ in range(3):
        done = subprocess.run(
            [program("apt-cache"), "show", "--no-all-versions", name], capture_output=True, text=True, check=False
        )
        fields = dict(line.split(": ", 1) for line in done.stdout.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        if done.returncode or "Version" not in fields:
            raise MachineLacks(
                f"kernel package: {name!r}: is not known to apt; run: apt-get update, or give a .deb file"
            )
        behind = META.search(fields.get("Depends", ""))
        if behind is None or int(fields.get("Installed-Size", "0")) > 1000:
            return name, fields["Version"]
        name = behind[0]
    raise MachineLacks(f"kernel package: {name!r}: depends on others without end; name the one with the kernel")


def _plain(path: Path, unpacked: Path) -> bool:
    """Whether no link is on the way to a path of an unpacked package."""
    return path.resolve() == unpacked.resolve() / path.relative_to(unpacked)


def _take(directory: Path, arch: Architecture, rootfs: Path) -> None:
    unpacked = directory / "unpacked"
    for kind, name in {"vmlinuz": arch.image_name, **KINDS}.items():
        # A link of a package's would be read here, on this machine.
        files = sorted(path for path in (unpacked / "boot").glob(f"{kind}-*") if _plain(path, unpacked))
        if not files:
            raise BuildFailed(f"kernel package: boot/{kind}-*: it has no such file; give one as linux-image-*")
        shutil.copyfile(files[0], directory / name)
        release = files[0].name.removeprefix(f"{kind}-")
    places = (unpacked / "lib/modules", unpacked / "usr/lib/modules")
    modules = next((path for path in places if (path / release).is_dir() and _plain(path / release, unpacked)), None)
    if modules is None:
        raise BuildFailed(
            f"kernel package: {release}: it has no modules of it; give the one with the kernel, not -dbg or -headers"
        )
    chosen = initramfs.choose(modules / release)
    words = [program("unsquashfs"), "-cat", str(rootfs), "usr/bin/busybox"]
    done = subprocess.run(words, capture_output=True, check=False)
    if not done.stdout.startswith(b"\x7fELF"):
        raise BuildFailed(f"image: {rootfs}: has no busybox; build it again with: vmtest build image")
    # Reproducible: no time of day.
    (directory / "initrd").write_bytes(gzip.compress(initramfs.archive(done.stdout, chosen), 6, mtime=0))
    shutil.rmtree(unpacked)
    for deb in directory.glob("*.deb"):
        deb.unlink()
