# SPDX-License-Identifier: GPL-2.0-only
"""A directory of the host as a guest's root: shared read-only by 9p, a layer in the guest's memory takes all writes.

The first process, sshd and the keys stay in the image (``images/rootfs/hostroot``); only commands see the directory.
"""

from __future__ import annotations

import functools
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import InvalidInput, MachineLacks
from ..images import features
from ..images.hostpkgs import program

#: The host's own root.
HOST = "host"
TAG = "hostroot"
#: On the kernel's command line; ``images/rootfs/setup`` looks for it.
KERNEL_WORD = "vmtest.root=host"
#: The line that an image with support for it prints when it is up.
READY = "vmtest: ready, root: the host's"
#: The guest's own, whatever the host has there.
FRESH = ("/proc", "/sys", "/dev", "/run", "/tmp")
# A guest's commands run as root; a user's PATH may be without these.
ADMINISTRATION = ("/usr/local/sbin", "/usr/sbin", "/sbin")
HOME = "/root"
#: bash (completion, history, a prompt with host name and working directory), or sh with such a prompt.
GUEST_SHELL = (
    "if command -v bash >/dev/null; then exec bash -l; fi; [ ! -r /etc/profile ] || . /etc/profile; "
    "PS1=\"root@$(hostname 2>/dev/null || echo guest):\"'$PWD# '; export PS1; exec sh -i"
)
_LINKS = 40
_ELF = b"\x7fELF"
# Of a program's header (e_machine).
_MACHINES = {3: "i386", 20: "ppc", 21: "ppc64", 22: "s390", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
_PLAIN = re.compile(rb"[^A-Za-z0-9/._+-]")


def is_root(value: Path | str) -> bool:
    """Whether this names a directory, or the host's root, rather than an image."""
    return str(value) == HOST or Path(value).is_dir()


def checked(root: Path | str, machine: str = "x86_64") -> str:
    """``"host"``, or the directory's absolute path.

    Args:
        root: either; a directory may be relative.
        machine: what the guest's processor runs, as ``uname -m`` prints it.

    Raises:
        InvalidInput: no root file system, or one of another kind of processor.
    """
    given = str(root)
    place = directory(given)
    if not place.is_dir():
        raise InvalidInput(f"root: {given!r}: is not a directory; give 'host' or a directory with a root file system")
    if not os.access(place, os.R_OK | os.X_OK):
        raise InvalidInput(f"root: {given!r}: may not be read by this user; correct its permissions")
    lacks = next((name for name in ("usr", "bin/sh") if not inside(place, name)), None)
    if lacks:
        raise InvalidInput(f"root: {given!r}: has no /{lacks}, so it is not a root file system; give one, or 'host'")
    found = _machine_of(given, inside(place, "bin/sh") or place)
    if found != machine:
        raise InvalidInput(
            f"root: {given!r}: is of another kind of processor: its /bin/sh is for {found}, the guest is {machine}; "
            "give a root for that"
        )
    # Programs in the guest could read the keys of all guests.
    if os.path.realpath(tempfile.gettempdir()) == str(place):
        raise InvalidInput(f"root: {given!r}: is the directory for temporary files; set TMPDIR to another one")
    return HOST if place == Path("/") else str(place)


def directory(root: str) -> Path:
    """The directory that a root is, without links in its path."""
    return Path("/") if root == HOST else Path(os.path.realpath(root))


def inside(root: Path, name: str) -> Path | None:
    """A path as seen by a process with that root, links followed; None when there is nothing."""
    todo = name.split("/")[::-1]
    place, followed = root, 0
    while todo:
        word = todo.pop()
        if word in {"", "."}:
            continue
        if word == "..":
            place = place.parent if place != root else root
            continue
        place /= word
        try:
            if not stat.S_ISLNK(place.lstat().st_mode):
                continue
            target = os.readlink(place)
        except OSError:
            return None
        followed += 1
        if followed > _LINKS:
            return None
        place = root if target.startswith("/") else place.parent
        todo += target.split("/")[::-1]
    return place


def _machine_of(root: str, program_file: Path) -> str:
    try:
        with program_file.open("rb") as stream:
            head = stream.read(20)
    except OSError as error:
        raise InvalidInput(f"root {root!r}: its /bin/sh cannot be read ({error.strerror}); correct that") from error
    if head[:4] != _ELF or len(head) < 20:
        raise InvalidInput(f"root: {root!r}: its /bin/sh is not a program (ELF); give a root file system")
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _MACHINES.get(number, f"machine {number}")


def check_qemu(qemu: str) -> None:
    """Whether QEMU can share directories.

    Raises:
        MachineLacks: it was built without 9p.
    """
    if not _has_9p(program(qemu)):
        raise MachineLacks(
            f"QEMU: {qemu}: has no 9p (virtio-9p-pci), which 'root' needs; install Debian's qemu-system-x86"
        )


@functools.cache
def _has_9p(path: str) -> bool:
    done = subprocess.run([path, "-device", "help"], capture_output=True, text=True, check=False)
    return '"virtio-9p-pci"' in done.stdout + done.stderr


def check_kernel(root: str, name: str, image: Path) -> None:
    """Whether a kernel can mount it, as far as its configuration is known.

    Raises:
        InvalidInput: it cannot.
    """
    path = features.beside(image)
    if path is None:
        return  # the guest's setup reports it where it matters
    config = features.read(path)
    if not image.with_name("initrd").is_file():
        config = {option: None if value == "m" else value for option, value in config.items()}
    missing = features.feature("9p").missing(config)
    if missing:
        lacks = ", ".join(need.names[-1] for need in missing)
        raise InvalidInput(
            f"root: {root!r}: needs a kernel with 9p, and {name!r} lacks {lacks}; "
            "take one that has it, such as --kernel page-idle"
        )


def covers(root: str) -> tuple[str, ...]:
    """Directories that are covered by empty ones in the guest, beside those that are always its own.

    The directory for temporary files has the keys of this and other guests. A home of root that QEMU may not read would
    be of no use.
    """
    place = directory(root)
    found = []
    temporary = Path(os.path.realpath(tempfile.gettempdir()))
    if temporary.is_relative_to(place):
        found.append("/" + str(temporary.relative_to(place)))
    home = inside(place, HOME)
    if home is not None and not os.access(home, os.R_OK | os.X_OK):
        found.append(HOME)
    return tuple(path for path in found if not any(Path(path).is_relative_to(place) for place in FRESH))


def settings(root: str | None) -> dict[str, str]:
    """Its part of the guest's settings."""
    return {"COVERS": " ".join(_quoted(path) for path in covers(root))} if root else {}


def _quoted(path: str) -> str:
    """For the shell's "printf %b": nothing in it that splits or globs."""
    return _PLAIN.sub(lambda match: b"\\0%03o" % match[0][0], os.fsencode(path)).decode()


def qemu_arguments(root: str | None) -> list[str]:
    """The directory as a device. Read-only in QEMU itself, so nothing that a guest does reaches the host.

    ``multidevs=remap``: file systems that the host has mounted below it are part of it.
    """
    if root is None:
        return []
    path = str(directory(root)).replace(",", ",,")
    share = f"local,id={TAG},path={path},security_model=none,readonly=on,multidevs=remap"
    return ["-fsdev", share, "-device", f"virtio-9p-pci,fsdev={TAG},mount_tag={TAG}"]


def environment(root: str | None) -> dict[str, str]:
    """What a command line adds to a command's environment: with the host's root, the PATH of who calls."""
    if root is None or directory(root) != Path("/") or not os.environ.get("PATH"):
        return {}
    words = os.environ["PATH"].split(":")
    return {"PATH": ":".join(words + [place for place in ADMINISTRATION if place not in words])}


def working_directory(root: str | None, wanted: str | None = None) -> str | None:
    """Where a command line's commands start: with the host's root, where its caller is, if that is in the guest.

    Args:
        root: as in the configuration.
        wanted: what was asked for; a relative one starts from the caller's with the host's root.
    """
    if root is None or directory(root) != Path("/"):
        return wanted
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        raise InvalidInput("working directory: gone: --root host starts there; change to another") from error
    if wanted:
        return os.path.join(here, wanted)
    return None if hidden(here) else here


def hidden(path: str) -> str:
    """With the host's root: the directory of the guest's own that hides a path of the host, or nothing."""
    return next((place for place in (*FRESH, *covers(HOST)) if Path(path).is_relative_to(place)), "")


def shell(root: str | None, environment: Mapping[str, str]) -> list[str]:
    """A person's shell: with the host's root, the person's own, which keeps PATH; else the guest's best one."""
    if root is None or directory(root) != Path("/"):
        return ["sh", "-c", GUEST_SHELL]
    own = environment.get("SHELL", "")
    return [own if own and os.access(own, os.X_OK) and not hidden(own) else "sh"]
