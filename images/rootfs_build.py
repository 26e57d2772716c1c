# SPDX-License-Identifier: GPL-2.0-only
"""Builds the guests' root file system: minimal Debian, Python and sshd in one read-only image that guests share."""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .. import cache, steps
from ..errors import InvalidInput
from ..progress import Progress
from . import aptsources, pydeps
from .arch import X86_64, Architecture, of_program
from .hostpkgs import program

# Raise it when the steps below change what comes out.
RECIPE = "3"
RELEASE = "bookworm"
FILES = Path(__file__).parent / "rootfs"
# What an image of another architecture than this machine's takes beside: packages are unpacked, not installed.
FOREIGN = Path(__file__).parent / "foreign"
# What byte code of Python 3.11 begins with.
BYTE_CODE = b"\xa7\r\r\n"
PACKAGES = (
    "python3",
    "openssh-server",
    "iproute2",
    "procps",
    "kmod",
    "mount",
    "util-linux",
    "busybox-static",
    "libnuma1",
    "numactl",
    "file",  # damo distinguishes formats of records by it
)
#: So many more can an image have.
MOST_PACKAGES: Final = 50
_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{1,99}", re.ASCII)
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
HOME = "usr/lib/vmtest"
PROGRAMS = ("init", "setup", "serve", "enter")
PARTS = ("hostroot", "sshd_config", "fstab", "fstab.dev")
# Links to busybox that the guest's first scripts call: statically linked, so they start fast.
APPLETS = (
    "mount",
    "umount",
    "mkdir",
    "ifconfig",
    "date",
    "dd",
    "tar",
    "cat",
    "hostname",
    "ln",
    "mkswap",
    "swapon",
    "pivot_root",
    "chroot",
    "poweroff",
    "usleep",
    "sed",
)
POWER = ("poweroff", "reboot", "halt")
SITE = "opt/vmtest/site"
SITE_LINK = "usr/local/lib/python3.11/dist-packages/vmtest-site.pth"
TIDY = 'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname"'
SQUASHFS_MAGIC = b"hsqs"


@dataclass(frozen=True)
class Rootfs:
    """A built image: a cache directory with ``root.squashfs``."""

    directory: Path

    @property
    def image(self) -> Path:
        """The read-only disk."""
        return self.directory / "root.squashfs"


def checked_packages(names: Iterable[str], arch: Architecture = X86_64) -> tuple[str, ...]:
    """Names of packages that an image is to have besides, sorted, each once.

    Raises:
        InvalidInput: one is no name, they are too many, or packages are not installed for ``arch`` here.
    """
    found = sorted(set(names))
    for name in found:
        if not _PACKAGE.fullmatch(name):
            raise InvalidInput(f"packages: {name[:60]!r}: is not a package's name; give names like redis-server")
    if len(found) > MOST_PACKAGES:
        raise InvalidInput(f"packages: {len(found)}: are too many; give up to {MOST_PACKAGES}")
    if found and not arch.native:
        raise InvalidInput(
            f"packages: {found[0]!r}: is not installed for {arch.name}, whose programs do not run here; leave it out"
        )
    return tuple(found)


def key(arch: Architecture = X86_64, packages: Sequence[str] = ()) -> str:
    """Cache key: recipe, scripts, package and dependency lists."""
    parts: dict[str, str | bytes] = {"recipe": f"{RECIPE} {RELEASE} {PACKAGES} {LEFT_OUT} {APPLETS}"}
    parts["python"] = f"{pydeps.PYTHON} {pydeps.requirements()}"
    parts.update({f"file {path.name}": path.read_bytes() for path in sorted(FILES.iterdir()) if path.is_file()})
    if arch is not X86_64:  # what was built before there was another keeps its key
        parts["architecture"] = arch.name
    if packages:
        parts["packages"] = " ".join(packages)
    if not arch.native:
        parts.update({f"foreign {path.name}": path.read_bytes() for path in sorted(FOREIGN.iterdir())})
    return cache.content_key(parts)


def find(arch: Architecture = X86_64, packages: Sequence[str] = ()) -> Rootfs | None:
    """The image if it is built already."""
    directory = cache.lookup("rootfs", key(arch, packages))
    return Rootfs(directory) if directory else None


def obtain(arch: Architecture = X86_64, packages: Sequence[str] = ()) -> Rootfs:
    """The image, built when it is not in the cache (about a minute, and a download of some 60 MB of packages).

    Args:
        arch: of its programs.
        packages: what it has besides, as of ``checked_packages()``.

    Raises:
        MachineLacks: a program is missing.
        BuildFailed: a step failed.
    """
    found = find(arch, packages)
    if found:
        return found
    for name in ("mmdebstrap", "mksquashfs"):
        program(name)
    facts = {
        "release": RELEASE,
        "architecture": arch.name,
        "packages": [*PACKAGES, *packages],
        "python": pydeps.requirements(),
        "byte code": arch.native or bool(_compiler()),
    }
    more = [*([] if arch is X86_64 else [arch.name]), *(["with " + " ".join(packages)] if packages else [])]
    label = f"guest root file system ({', '.join([RELEASE, *more])})"
    return Rootfs(
        cache.obtain(
            "rootfs",
            key(arch, packages),
            label,
            lambda scratch, progress: _build(arch, packages, scratch, progress),
            facts,
        )
    )


def check_image(path: Path, arch: Architecture | None = None) -> None:
    """Refuses a file that is not a squashfs image, or one of another architecture (as far as that can be seen here).

    Raises:
        InvalidInput: it is none.
    """
    with path.open("rb") as stream:
        if stream.read(4) != SQUASHFS_MAGIC:
            raise InvalidInput(f"rootfs: {str(path)!r}: is not a squashfs image; build one with: vmtest build image")
    tool = shutil.which("unsquashfs", path="/usr/sbin:/sbin:/usr/bin:/bin") if arch else None
    if arch is None or tool is None:
        return
    done = subprocess.run([tool, "-cat", str(path), "usr/bin/busybox"], capture_output=True, check=False)
    found = of_program(done.stdout)
    if found is not None and found is not arch:
        raise InvalidInput(
            f"rootfs: {str(path)!r}: is of {found.name}, the kernel of {arch.name}; give another, or leave it out"
        )


def _compiler() -> str:
    """An interpreter whose byte code the image's Python takes; empty for none."""
    if importlib.util.MAGIC_NUMBER == BYTE_CODE:
        return sys.executable
    return shutil.which(f"python{pydeps.PYTHON}") or ""


def _installing(files: Path, packages: Sequence[str]) -> list[str]:
    """How mmdebstrap makes an image of this machine's architecture."""
    words = ["--variant=essential", f"--include={','.join([*PACKAGES, *packages])}"]
    words += [f"--customize-hook=tar-in {shlex.quote(str(files))} /"]
    # Byte code now, or every guest compiles it again.
    words += [f'--customize-hook=chroot "$1" python3 -m compileall -q /{SITE}']
    # dash for commands: it starts several times faster than bash.
    words += ['--customize-hook=sed -i "/^root:/s,/bin/bash,/bin/sh," "$1/etc/passwd"']
    return [*words, f"--customize-hook={TIDY}"]


def _unpacking(files: Path) -> list[str]:
    """How it makes one of another architecture, whose programs do not run here: no package's own script does."""
    setup, finish = (shlex.quote(str(FOREIGN / name)) for name in ("setup", "finish"))
    words = ["--variant=extract", "--include=?essential", f"--include={','.join(PACKAGES)}"]
    words += [f'--setup-hook=sh {setup} "$1"', f"--extract-hook=tar-in {shlex.quote(str(files))} /"]
    return [*words, f'--extract-hook=sh {finish} "$1" {shlex.quote(_compiler())}', f"--extract-hook={TIDY}"]


def _build(arch: Architecture, packages: Sequence[str], scratch: Path, progress: Progress) -> None:
    log = scratch / "build.log"
    site = scratch / "site"
    pydeps.install(site, log, progress, arch)
    _pack_files(scratch / "files.tar", site)
    sources = scratch / "sources"
    sources.write_text(aptsources.for_release(RELEASE))
    archive = scratch / "root.tar"
    words = ["mmdebstrap", f"--architectures={arch.debian}"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    files = scratch / "files.tar"
    words += _installing(files, packages) if arch.native else _unpacking(files)
    words += [RELEASE, str(archive)]
    if sources.stat().st_size:
        words.append(str(sources))
    steps.run(words, log, progress, lambda line: line.removeprefix("I: ") if line.startswith("I: ") else None)
    _squash(archive, scratch / "root.squashfs", log, progress)
    for path in (archive, sources, scratch / "files.tar"):
        path.unlink()
    steps.run(["rm", "-rf", site], log, progress, "cleaning up")


def _squash(archive: Path, image: Path, log: Path, progress: Progress) -> None:
    # lz4: unpacked by an emulated processor in next to no time. Without a search for duplicates: it races with the
    # packing of small files in squashfs-tools 4.5, and in one of two images a few of these could not be read.
    target, origin = shlex.quote(str(image)), shlex.quote(str(archive))
    command = f"exec mksquashfs - {target} -tar -comp lz4 -no-duplicates -quiet -no-progress <{origin}"
    steps.run(["sh", "-c", command], log, progress, "packing the image")
    _read_all(image, log, progress)


def _read_all(image: Path, log: Path, progress: Progress) -> None:
    """Unpacks every file of an image into nothing.

    Raises:
        BuildFailed: one cannot be read.
    """
    words = ["unsquashfs", "-quiet", "-no-progress", "-pf", "/dev/null", str(image)]
    steps.run(words, log, progress, "reading the image")


def _pack_files(path: Path, site: Path) -> None:
    """The image's own files as an archive owned by root."""

    def root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(path, "w") as archive:
        for name in (*PROGRAMS, *PARTS):
            entry = archive.gettarinfo(str(FILES / name), f"{HOME}/{name}")
            entry.mode = 0o755 if name in PROGRAMS else 0o644
            with (FILES / name).open("rb") as stream:
                archive.addfile(root(entry), stream)
        archive.add(FILES / "inittab", "etc/inittab", filter=root)
        _link(archive, f"{HOME}/bin", dict.fromkeys(APPLETS, "/bin/busybox"))
        _link(archive, "usr/sbin", dict.fromkeys(POWER, "/bin/busybox"))
        archive.add(site, SITE, filter=root)
        entry = tarfile.TarInfo(SITE_LINK)
        data = f"/{SITE}\n".encode()
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))


def _link(archive: tarfile.TarFile, directory: str, links: dict[str, str]) -> None:
    for name, target in links.items():
        entry = tarfile.TarInfo(f"{directory}/{name}")
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        archive.addfile(entry)
