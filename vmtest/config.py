# SPDX-License-Identifier: GPL-2.0-only
"""What a guest is made of: typed, checked when made, never changed afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import specs, topology
from .directories import Share, Tree, pair
from .errors import InvalidInput, Verdict
from .host import root as hostroot
from .images import rootfs_build, variants
from .images.arch import X86_64, Architecture, of_image
from .patience import patient
from .patterns import TOLERABLE
from .sizes import MIB, parse_size, shown

MIN_MEMORY = 128 * MIB
#: Seconds to boot, before ``$VMTEST_PATIENCE``.
BOOT_SECONDS = 120.0
ACCELERATORS = ("auto", "kvm", "tcg")
MACHINES = ("auto", "light", "q35")


@dataclass(frozen=True)
class Timeouts:
    """Seconds each phase may take. ``silence``: without a single console byte while booting.

    The defaults are 120, 45, 30 and 120, times ``$VMTEST_PATIENCE``.
    """

    boot: float = field(default_factory=lambda: patient(BOOT_SECONDS))
    silence: float = field(default_factory=lambda: patient(45.0))
    login: float = field(default_factory=lambda: patient(30.0))
    command: float = field(default_factory=lambda: patient(120.0))


@dataclass(frozen=True, kw_only=True)
class GuestConfig:
    """One guest.

    Args:
        kernel: a variant's name ("page-idle", see ``vmtest kernels``), built or taken from the cache, or an image.
            The guest's architecture is the kernel's.
        rootfs: a squashfs image with the setup of ``images/rootfs``; None builds or takes it from the cache. "host" or
            a directory is taken as ``root``.
        packages: Debian packages that the image has besides its own, with what they depend on; it is built with them.
        root: what commands see as their root when it is not the image's: "host" or a directory with a root file system.
            Read-only to the guest; what it writes is in its memory and gone with it.
        memory: size, "1G" or bytes.
        cpus: virtual processors.
        machine: "light" (up sooner), "q35" (NUMA nodes, hot-plug), or "auto": light where it will do.
        memory_max: size that memory may grow to while the guest runs (:meth:`Guest.plug_memory`); None: it stays.
        plug: memory that comes and goes while a command of ``vmtest exec`` or a suite runs, from its start:
            "10s:+512M", "30s:-512M@1" (of node 1).
        numa: NUMA nodes; memory and processors are split evenly, unless the next two differ.
        numa_memory: sizes by node, "768M,256M"; they add up to ``memory``.
        numa_cpus: processors by node, "2,0"; they add up to ``cpus``.
        numa_distance: distances of pairs, "0:1=30,0:2=60"; one way is both, 20 by default.
        hugepages: reserved while booting, "2M:64" or "2M:64,1G:1".
        thp: transparent huge pages, "always", "madvise" or "never"; None: the kernel's default.
        cgroups: made before the first command, "NAME:memory.max=256M,memory.swap.max=0".
        in_cgroup: the one of them in which commands run.
        dump_on_panic: keep the guest's memory when its kernel is lost (``Guest.artifacts`` has it as ``vmcore``).
        swap: "zram:SIZE[:ALGORITHM]", "disk:SIZE" or None.
        append: added to the kernel command line.
        trees: directories copied in while booting; also ``(host, guest)`` pairs.
        shares: directories shared read-only; also ``(host, guest)`` pairs.
        env: environment of every command.
        accelerator: "auto" (probed once by starting a guest), "kvm" or "tcg".
        icount: emulated, with a time that is counted in instructions of ``2**icount`` ns: what a program does by the
            guest's clock does not depend on what else the host does. All processors share one of the host's. None:
            the host's time.
        skip_idle: with ``icount``, a guest in which nothing runs does not wait: its clock goes on to its next timer.
            It is for commands that need nothing of the host before they end; whatever else waits for the host, waits
            for long by the guest's clock.
        timeouts: by phase.
        qemu_args: added to QEMU's command line.
        snapshot: start from a snapshot of a guest that has just booted, which is made when there is none.
        tolerate: verdicts ("warning", "oom", ...) that are noted in ``Guest.warnings`` and do not end the guest.

    Raises:
        InvalidInput: a value is wrong; the message names it.
    """

    kernel: Path | str = variants.DEFAULT
    rootfs: Path | str | None = None
    packages: tuple[str, ...] = ()
    root: str | None = None
    memory: str | int = "1G"
    cpus: int = 2
    machine: str = "auto"
    numa: int = 1
    memory_max: str | int | None = None
    plug: tuple[str, ...] = ()
    numa_memory: str = ""
    numa_cpus: str = ""
    numa_distance: str = ""
    hugepages: str = ""
    thp: str | None = None
    cgroups: tuple[str, ...] = ()
    in_cgroup: str = ""
    dump_on_panic: bool = False
    swap: str | None = None
    append: str = ""
    trees: tuple[Tree | tuple[Path | str, str], ...] = ()
    shares: tuple[Share | tuple[Path | str, str], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    accelerator: str = "auto"
    icount: int | None = None
    skip_idle: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    qemu_args: tuple[str, ...] = ()
    tolerate: tuple[str, ...] = ()
    snapshot: bool = False

    def __post_init__(self) -> None:
        self._normalize_files()
        self._check_size()
        self._check_pages_and_groups()
        self._check_machine()
        if self.snapshot and self.memory_max is not None:
            raise InvalidInput("snapshot, memory_max: exclude each other; leave one out")
        if self.snapshot and self.root is not None:
            raise InvalidInput("snapshot, root: QEMU cannot save such a guest; leave one out")
        for name in self.env:
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise InvalidInput(f"env name: {name!r}: is not a name; give letters, digits and underscores")
        object.__setattr__(self, "trees", tuple(pair(Tree, item) for item in self.trees))
        object.__setattr__(self, "shares", tuple(pair(Share, item) for item in self.shares))
        _ = self.swap_device
        _ = self.tolerated

    def _normalize_files(self) -> None:
        if self.rootfs is not None and hostroot.is_root(self.rootfs):
            if self.root not in {None, str(self.rootfs)}:
                raise InvalidInput(f"rootfs: {str(self.rootfs)!r}: root {self.root!r} excludes it; give one")
            object.__setattr__(self, "root", str(self.rootfs))
            object.__setattr__(self, "rootfs", None)
        object.__setattr__(self, "kernel", _kernel(self.kernel))
        if self.root is not None:
            object.__setattr__(self, "root", hostroot.checked(self.root, self.arch.machine))
        if self.rootfs is not None:
            object.__setattr__(self, "rootfs", _readable_file(Path(self.rootfs), "rootfs"))
        if self.packages and (self.rootfs is not None or self.root is not None):
            raise InvalidInput("packages, rootfs, root: exclude each other; packages are installed in an own image")
        object.__setattr__(self, "packages", rootfs_build.checked_packages(self.packages, self.arch))

    def _check_size(self) -> None:
        if self.memory_bytes < MIN_MEMORY:
            raise InvalidInput(f"memory: {self.memory!r}: is too little to boot; give at least {MIN_MEMORY // MIB}M")
        if not 1 <= self.cpus <= 16:
            raise InvalidInput(f"cpus: {self.cpus}: is out of range; give 1 to 16")
        _ = self.layout
        specs.check_steps(self.steps, self.spare_bytes, self.numa)

    def _check_machine(self) -> None:
        _one_of("accelerator", self.accelerator, ACCELERATORS)
        if self.icount is not None and not 0 <= self.icount <= 10:
            raise InvalidInput(
                f"icount: {self.icount}: is out of range; give 0 to 10, an instruction takes 2**icount ns"
            )
        if self.icount is not None and self.accelerator == "kvm":
            raise InvalidInput(
                f"icount: {self.icount}: counts emulated instructions, and accelerator 'kvm' has none; leave one out"
            )
        if self.skip_idle and self.icount is None:
            raise InvalidInput("skip_idle: True: is for a clock that counts instructions; give icount, or leave it out")
        _one_of("machine", self.machine, MACHINES)
        if self.machine != "auto" and self.arch is not X86_64:
            raise InvalidInput(f"machine: {self.machine!r}: is of x86_64, the kernel of {self.arch.name}; leave it out")
        if self.machine == "light" and self.needs_q35:
            raise InvalidInput(
                f"machine: 'light': has no {self.needs_q35}; give machine q35, or auto, which takes q35 by itself"
            )

    def _check_pages_and_groups(self) -> None:
        if self.thp is not None:
            _one_of("thp", self.thp, specs.THP)
        taken = sum(pages.bytes for pages in specs.huge_pages(self.hugepages))
        if taken > self.memory_bytes - MIN_MEMORY:
            raise InvalidInput(
                f"hugepages: {self.hugepages!r}: take {shown(taken)} of {shown(self.memory_bytes)}; reserve fewer, the "
                f"guest needs {shown(MIN_MEMORY)} besides"
            )
        names = [group.name for group in self.cgroup_list]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InvalidInput(f"cgroup: {twice!r}: is given twice; put its files into one")
        if self.in_cgroup and self.in_cgroup not in names:
            known = f"it has {', '.join(names)}" if names else "the guest has none"
            raise InvalidInput(f"in_cgroup: {self.in_cgroup!r}: is not a cgroup of this guest ({known}); give that too")

    @property
    def image(self) -> Path | None:
        """The image that was given; None: the one of the cache."""
        return Path(self.rootfs) if self.rootfs else None

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes, a whole number of MiB."""
        return parse_size(self.memory, "memory") // MIB * MIB

    @property
    def needs_q35(self) -> str:
        """What of it only a q35 machine has, or nothing."""
        if self.numa > 1:
            return f"NUMA nodes (numa {self.numa})"
        return "hot-plug (memory_max)" if self.memory_max is not None else ""

    @property
    def spare_bytes(self) -> int:
        """By how much memory may grow, a whole number of pieces that can be plugged; 0 when it cannot."""
        if self.memory_max is None:
            return 0
        spare = parse_size(self.memory_max, "memory_max") - self.memory_bytes
        if spare < specs.PIECE:
            raise InvalidInput(
                f"memory_max: {self.memory_max!r}: is not above memory ({shown(self.memory_bytes)}); "
                "give more, or leave it out"
            )
        return spare // specs.PIECE * specs.PIECE

    @property
    def most_bytes(self) -> int:
        """What memory can become."""
        return self.memory_bytes + self.spare_bytes

    @property
    def layout(self) -> topology.Topology:
        """Nodes and distances."""
        return topology.make(
            self.memory_bytes, self.cpus, self.numa, self.numa_memory, self.numa_cpus, self.numa_distance
        )

    @property
    def steps(self) -> tuple[specs.Step, ...]:
        """Memory that comes and goes, as values."""
        return tuple(specs.Step.parse(text) for text in self.plug)

    @property
    def cgroup_list(self) -> tuple[specs.Cgroup, ...]:
        """The control groups as values."""
        return tuple(specs.Cgroup.parse(text) for text in self.cgroups)

    @property
    def arch(self) -> Architecture:
        """The architecture, by the kernel."""
        return of_image(self.kernel) if isinstance(self.kernel, Path) else variants.variant(self.kernel).arch

    @property
    def tolerated(self) -> frozenset[Verdict]:
        """What ends no guest, as verdicts."""
        known = {verdict.value: verdict for verdict in TOLERABLE}
        for name in self.tolerate:
            if name not in known:
                raise InvalidInput(
                    f"tolerate: {name!r}: is not a verdict that guests survive; give one of {', '.join(sorted(known))}"
                )
        return frozenset(known[name] for name in self.tolerate)

    @property
    def swap_device(self) -> specs.Swap | None:
        """The swap as a value."""
        return specs.Swap.parse(self.swap) if self.swap else None

    @property
    def tree_list(self) -> tuple[Tree, ...]:
        """The trees as values."""
        return tuple(pair(Tree, item) for item in self.trees)

    @property
    def share_list(self) -> tuple[Share, ...]:
        """The shares as values."""
        return tuple(pair(Share, item) for item in self.shares)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidInput(f"{name}: {value!r}: is unknown; give one of {', '.join(known)}")


def _kernel(given: Path | str) -> Path | str:
    """A variant's name as it is; anything else must be a file."""
    if isinstance(given, str) and given in variants.variants():
        return given
    if isinstance(given, str) and os.sep not in given and not Path(given).exists():
        variants.variant(given)  # refuses it
    return _readable_file(Path(given), "kernel")


def _readable_file(path: Path, name: str) -> Path:
    if not path.exists():
        raise InvalidInput(
            f"{name}: {str(path)!r}: does not exist; correct the path, or leave it out to have one built"
        )
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InvalidInput(f"{name}: {str(path)!r}: is empty; build it again")
    except OSError as error:
        raise InvalidInput(
            f"{name}: {str(path)!r}: cannot be read ({error.strerror}); correct path or permissions"
        ) from error
    return path.resolve()
