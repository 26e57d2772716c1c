# SPDX-License-Identifier: GPL-2.0-only
"""A guest that resembles the simulated machine of a workload, as far as one can; what cannot be is refused at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput, MissingCapability
from damon.guests.engine import GuestEngine, GuestFailed
from damon.guests.staging import ENV, package_trees
from damon.library.engine import HOST, OWN
from damon.quoting import bounded
from damon.workload.model import Cgroup, Kind, Workload
from vmtest import GuestConfig, errors
from vmtest.images import rootfs_build, variants
from vmtest.images.arch import Architecture
from vmtest.images.hostpkgs import program
from vmtest.qemu import accel

#: An emulated instruction takes 2**2 ns of the guest's time: what it measures does not depend on the host's other work.
COUNTED: Final = 2
CPUS: Final = 2
#: What the kernel must have for an engine, beside its modules.
_NEEDED: Final = {OWN: ("CONFIG_IDLE_PAGE_TRACKING", "CONFIG_PROC_PAGE_MONITOR"), HOST: ("CONFIG_DAMON_SYSFS",)}


@contextmanager
def harness_errors(what: str) -> Iterator[None]:
    """Errors of vmtest as this package's: what is missing here, what is wrong, or that the guest was lost."""
    try:
        yield
    except (errors.MachineLacks, errors.BuildFailed) as error:
        raise MissingCapability(bounded(f"{what}: {error}")) from error
    except errors.InvalidInput as error:
        raise InvalidInput(f"{what}: {error}") from error
    except errors.GuestLost as error:
        raise GuestFailed(bounded(f"{what}: {error.summary}")) from error
    except errors.HarnessError as error:
        raise GuestFailed(bounded(f"{what}: {error}")) from error


def prepare(
    engine: GuestEngine, workload: Workload, modules: Sequence[str], files: bool = False, icount: int | None = None
) -> GuestConfig:
    """The guest for a run of ``workload`` under ``engine``; nothing is built and nothing started.

    Args:
        engine: which, and with which kernel.
        workload: its ``machine`` has the sizes of memory and swap.
        modules: the names of those that will be loaded.
        files: its files are anonymous memory.
        icount: one emulated processor, whose instructions take ``2**icount`` ns, and idle time as long as here: where
            it is skipped, a page that is read from disk takes seconds. None: ``CPUS``, which run in turns, and
            ``COUNTED``.

    Raises:
        MissingCapability: QEMU, the kernel or the root file system is missing, or the kernel lacks an option.
        InvalidInput: a guest cannot be like that machine, or perform that workload as the simulator does.
    """
    with harness_errors(str(engine)):
        _refuse_others(engine, workload, files)
        config = GuestConfig(kernel=engine.kernel)
        _check_built(engine, config.arch, modules)
        machine = workload.machine
        swap = sum(device.size for device, _ in machine.swaps)
        emulated = _emulated(engine, config)
        return GuestConfig(
            kernel=engine.kernel,
            memory=machine.memory,
            cpus=CPUS if icount is None else 1,
            swap=f"zram:{swap}" if swap else None,
            trees=package_trees(),
            env=ENV,
            cgroups=_cgroups(workload),
            icount=(COUNTED if icount is None else icount) if emulated else None,
            skip_idle=emulated and icount is None,
            snapshot=True,
        )


def _cgroups(workload: Workload) -> tuple[str, ...]:
    """The one of the workload, with its limits and those of the cgroups above it."""
    name = workload.memcg(workload.areas[0]) if workload.areas else ""
    above = ["/".join(name.split("/")[: depth + 1]) for depth in range(name.count("/") + 1)] if name else []
    given = {cgroup.name: cgroup for cgroup in workload.cgroups}
    return tuple(f"{one}:{','.join(_limits(given[one]))}" if one in given else f"{one}:" for one in above)


def _limits(cgroup: Cgroup) -> list[str]:
    limits = {
        "memory.min": cgroup.min, "memory.low": cgroup.low, "memory.high": cgroup.high, "memory.max": cgroup.max,
        "memory.swap.max": cgroup.swap_max,
    }  # fmt: skip
    return [f"{file}={'max' if limit is None else limit}" for file, limit in limits.items()]


def _refuse_others(engine: GuestEngine, workload: Workload, files: bool) -> None:
    """What the simulated machine has and this guest would not."""
    machine = workload.machine
    others = {
        "machine.nodes: NUMA nodes": bool(machine.nodes),
        "machine.thp: always": machine.thp == "always",
        "online, offline: memory that comes and goes": any(phase.hotplug for phase in workload.phases),
        "memcg: several control groups": len({workload.memcg(area) for area in workload.areas}) > 1,
        "kind: file: files on a disk": not files and any(area.kind is Kind.FILE for area in workload.areas),
    }
    for what, there in others.items():
        if there:
            raise InvalidInput(
                f"{engine}: workload {workload.name}: {what}: a guest has none such; leave out {engine}, or give "
                "another workload"
            )


def _check_built(engine: GuestEngine, arch: Architecture, modules: Sequence[str]) -> None:
    if not arch.native:
        raise InvalidInput(
            f"{engine}: {arch.name}: this machine's programs do not run on such a kernel; name one of this architecture"
        )
    program(arch.qemu)
    if rootfs_build.find(arch) is None:
        raise MissingCapability(f"{engine}: the guests' root file system is not built; build it: vmtest build image")
    if engine.kernel not in variants.variants():
        return  # an image: the run in the guest reports what it lacks
    kernel = variants.variant(engine.kernel).find()
    if kernel is None:
        raise MissingCapability(
            f"{engine}: the kernel {engine.kernel} is not built; build it: vmtest build kernel {engine.kernel}"
        )
    options = set(kernel.config.read_text().splitlines())
    needed = [*_NEEDED[engine.engine], *(name.upper() for name in _configs(engine, modules))]
    lacking = [option for option in needed if f"{option}=y" not in options]
    if lacking:
        raise MissingCapability(
            f"{engine}: the kernel {engine.kernel} has no {', '.join(lacking)}; name another one: "
            f"guest:{engine.engine}@KERNEL"
        )


def _configs(engine: GuestEngine, modules: Sequence[str]) -> list[str]:
    return [f"CONFIG_{name}" for name in modules] if engine.engine == HOST else []


def _emulated(engine: GuestEngine, config: GuestConfig) -> bool:
    kernel = config.kernel
    image = kernel if isinstance(kernel, Path) else variants.variant(kernel).obtain().image
    return accel.detect(image).name == "tcg"
