# SPDX-License-Identifier: GPL-2.0-only
"""The running kernel's DAMON as an engine: contexts through sysfs, modules through their parameters.

Nothing runs here: the kernel's own workers do, at their native cost. What was found is restored at the end, also when
this process is killed (``damon.host.journal``).
"""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.host import staging
from damon.host.files import number, put, read
from damon.host.found import Found, running, take_tree
from damon.host.guard import Guard
from damon.host.journal import STATE
from damon.host.modules import HostModules
from damon.host.operations import SETS, HostSpace
from damon.model import refused
from damon.model.checks import INT_MAX, whole
from damon.model.context import DamonCtx
from damon.model.regions import set_regions
from damon.model.scheme import Damos, DamosStat, DamosWmarkMetric
from damon.model.target import DamonTarget
from damon.model.tried import Tried

ADMIN: Final = Path("/sys/kernel/mm/damon/admin")
MODULES: Final = Path("/sys/module")
#: How often regions are asked for where the kernel gives none.
_TRIES: Final = 8
CGROUPS: Final = Path("/sys/fs/cgroup")


class HostDamon(HostModules):
    """The kernel's DAMON, used by this process alone, until ``close()`` or the end of a ``with`` block.

    Args:
        admin: DAMON's sysfs directory ``admin``.
        modules: the directory of the kernel's modules.
        state: where the lock and what is to be restored are kept; one for each kernel.

    Raises:
        MissingCapability: this kernel has no DAMON with that interface, or it may not be used.
        DamonError: EBUSY, a kdamond or a module runs, or another process uses the engine.
    """

    def __init__(self, admin: Path = ADMIN, modules: Path = MODULES, state: Path = STATE) -> None:
        super().__init__(modules)
        self._admin = admin
        self._kdamonds = admin / "kdamonds"
        self._check_there()
        self._guard = Guard(state)
        #: What could not be restored of an earlier process that was killed, or of this one; a line each.
        self.problems: list[str] = self._guard.problems
        self._found = Found(str(admin), str(modules))
        self._places: dict[DamonCtx, tuple[Path, int]] = {}
        self._snapshots: dict[DamonCtx, int] = {}
        self._readable = True
        self._open = True
        try:
            self._refuse_others()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> HostDamon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop what was started and restore what was found. Safe to call twice."""
        if self._open:
            self._open = False
            self.problems = [*self.problems, *self._guard.release()]
            for line in self.problems:
                print(f"damon: {line}", file=sys.stderr)

    # Contexts.

    def new_ctx(self) -> DamonCtx:
        """An empty context with default attributes."""
        return DamonCtx()

    def select_ops(self, ctx: DamonCtx, name: str) -> None:
        """Use the kernel's set ``name`` (``vaddr``, ``fvaddr``, ``paddr``); EINVAL when there is no such."""
        if name not in SETS:
            raise InvalidInput(f"operations set: {name!r}: it is unknown; give one of {', '.join(SETS)}")
        ctx.ops = SETS[name]()

    def add_process(self, ctx: DamonCtx, pid: int, ranges: Sequence[tuple[int, int]] = ()) -> DamonTarget:
        """A new last target of ``ctx``: the process ``pid``, in ``ranges`` (half-open, bytes) if any are given."""
        target = DamonTarget(HostSpace(whole("pid", pid, 1, INT_MAX)))
        set_regions(target, ranges, ctx.min_region_sz)
        ctx.targets.append(target)
        return target

    def add_memory(self, ctx: DamonCtx, start: int = 0, end: int = 0) -> DamonTarget:
        """A new last target of ``ctx``: physical memory ``[start, end)`` in core address units; both 0: all System RAM.

        Raises:
            MissingCapability: ``/proc/iomem`` does not show where System RAM is.
        """
        target = DamonTarget()
        if not (start or end):
            from damon.mm.linux.parse import system_ram

            ram = system_ram(Path("/proc/iomem").read_text())
            if not ram or not ram[-1][1]:
                raise MissingCapability("/proc/iomem: it shows no addresses of System RAM; run as root")
            start, end = ram[0][0] // ctx.addr_unit, ram[-1][1] // ctx.addr_unit
        set_regions(target, [(start, end)], ctx.min_region_sz)
        ctx.targets.append(target)
        return target

    def memcg_id(self, path: str) -> int:
        """The id of a cgroup, by its path from the root of the hierarchy, for filters and goals."""
        directory = CGROUPS / path.lstrip("/")
        if not path.startswith("/") or not directory.is_dir():
            raise InvalidInput(f"cgroup: {path!r}: there is none; give a path below {CGROUPS}, as /system.slice")
        return directory.stat().st_ino

    def start(self, ctxs: Sequence[DamonCtx], *, readable: bool = True) -> None:
        """Start a kdamond for each context; all or none.

        Args:
            ctxs: not started yet.
            readable: their regions can be read with ``regions()``: each gets a last scheme that does nothing.

        Raises:
            DamonError: EBUSY when contexts run already; what the kernel refuses.
            InvalidInput: a part that only runs in Python.
            MissingCapability: this kernel lacks what a context asks for.
        """
        for ctx in ctxs:
            if ctx.ops is None:
                raise refused.no_operations()
        self._refuse_others()
        self._refuse_own()
        if self._found.tree is None:
            self._found.tree = take_tree(self._kdamonds)
        self._found.kdamonds = {}
        self._guard.record(self._found)
        self._places = {}
        self._readable = readable
        try:
            put(self._kdamonds / "nr_kdamonds", len(ctxs))
            for index, ctx in enumerate(ctxs):
                self._stage(ctx, index)
            for index, ctx in enumerate(ctxs):
                self._switch_on(ctx, index)
        except BaseException:
            self.stop()
            raise

    def _stage(self, ctx: DamonCtx, index: int) -> None:
        kdamond = self._kdamonds / str(index)
        put(kdamond / "contexts/nr_contexts", 1)
        self._places[ctx] = (kdamond, index)
        self._write(ctx)

    def _write(self, ctx: DamonCtx) -> None:
        place = self._context(ctx)
        schemes = list(ctx.schemes)
        self._snapshots.pop(ctx, None)
        # Regions are read from a scheme that takes all and does nothing. Where all schemes have watermarks it would
        # keep the worker from waiting for them.
        awake = not schemes or any(scheme.wmarks.metric is DamosWmarkMetric.NONE for scheme in schemes)
        if self._readable and awake:
            self._snapshots[ctx] = len(schemes)
            schemes.append(Damos())
        lines = staging.context(ctx, schemes, lambda path: (place / path).exists(), self._cgroup)
        staging.write(place, lines)

    def _switch_on(self, ctx: DamonCtx, index: int) -> None:
        kdamond, _ = self._places[ctx]
        put(kdamond / "state", "on")
        self._found.kdamonds[str(index)] = number(kdamond / "pid")
        self._guard.record(self._found)

    def stop(self, ctxs: Sequence[DamonCtx] | None = None) -> None:
        """Stop the kdamonds of ``ctxs``, of all contexts without it, and wait for their end."""
        for ctx in list(self._places) if ctxs is None else ctxs:
            if self.is_running(ctx):
                put(self._places[ctx][0] / "state", "off")

    def is_running(self, ctx: DamonCtx) -> bool:
        """Does its kdamond run? It ends by itself when all its targets have ended."""
        return self.kdamond_pid(ctx) != -1

    def kdamond_pid(self, ctx: DamonCtx) -> int:
        """The kernel thread of its kdamond; -1 when there is none, or it is another user's by now."""
        if ctx not in self._places:
            return -1
        kdamond, index = self._places[ctx]
        try:
            pid = number(kdamond / "pid") if read(kdamond / "state") == "on" else -1
        except DamonError:
            return -1  # the directory was removed
        return pid if self._found.kdamonds.get(str(index)) == pid else -1

    def commit(self, ctx: DamonCtx) -> None:
        """Give a running context what ``ctx`` has now: attributes, targets, schemes."""
        kdamond = self._running(ctx)
        self._write(ctx)
        put(kdamond / "state", "commit")

    def commit_goals(self, ctx: DamonCtx) -> None:
        """Give a running context the goals that the schemes of ``ctx`` have now."""
        kdamond = self._running(ctx)
        for index, scheme in enumerate(ctx.schemes):
            staging.write(self._context(ctx), staging.goals(index, scheme.quota, self._cgroup))
        put(kdamond / "state", "commit_schemes_quota_goals")

    # Results.

    def stats(self, ctx: DamonCtx) -> list[DamosStat]:
        """The statistics of each scheme, as of now. What a kernel does not count is 0."""
        put(self._running(ctx) / "state", "update_schemes_stats")
        places = [self._context(ctx) / f"schemes/{index}/stats" for index in range(len(ctx.schemes))]
        names = [field.name for field in dataclasses.fields(DamosStat)]
        return [
            DamosStat(**{name: number(place / name) for name in names if (place / name).exists()}) for place in places
        ]

    def regions(self, ctx: DamonCtx) -> list[Tried]:
        """All regions of all targets, as of the next aggregation.

        Raises:
            DamonError: ENODATA, all schemes of the context have watermarks, or it was started without; or the kernel
                gave none several times.
        """
        if ctx not in self._snapshots:
            why = "all schemes have watermarks; read tried_regions() of one"
            if not self._readable:
                why = "the context was started without them; start it with readable=True"
            raise DamonError(errno.ENODATA, f"regions: none: {why}")
        # 6.12 waits two aggregation intervals of its clock for the pass, and on a busy machine ends with nothing.
        for _ in range(_TRIES):
            if found := self.tried_regions(ctx, self._snapshots[ctx]):
                return found
        raise DamonError(errno.ENODATA, "regions: none: the kernel gave none, as on a busy machine; try again later")

    def tried_regions(self, ctx: DamonCtx, index: int) -> list[Tried]:
        """What the scheme ``index`` tries in its next pass."""
        state = self._running(ctx) / "state"
        put(state, "update_schemes_tried_regions")
        try:
            place = self._context(ctx) / f"schemes/{index}/tried_regions"
            numbers = sorted(int(name) for name in os.listdir(place) if name.isdecimal())
            return [_tried(place / str(name)) for name in numbers]
        finally:
            put(state, "clear_schemes_tried_regions")

    def effective_quotas(self, ctx: DamonCtx) -> list[int]:
        """The effective size quota of each scheme, in bytes."""
        put(self._running(ctx) / "state", "update_schemes_effective_quotas")
        return [
            number(self._context(ctx) / f"schemes/{index}/quotas/effective_bytes") for index in range(len(ctx.schemes))
        ]

    def tuned_intervals(self, ctx: DamonCtx) -> tuple[int, int]:
        """Sampling and aggregation interval in force, in microseconds."""
        put(self._running(ctx) / "state", "update_tuned_intervals")
        place = self._context(ctx) / "monitoring_attrs/intervals"
        return number(place / "sample_us"), number(place / "aggr_us")

    def make_instance(self, place: Path) -> None:
        """Make an instance of tracefs; ``close()`` removes it."""
        self._found.instances.append(str(place))
        self._guard.record(self._found)
        try:
            place.mkdir()
        except OSError as error:
            raise DamonError(error.errno or errno.EIO, f"{place}: cannot be made: {error.strerror}") from None

    # What both kinds need.

    def _check_there(self) -> None:
        if not (self._kdamonds / "nr_kdamonds").is_file():
            raise MissingCapability(
                f"{self._kdamonds}: this kernel has no DAMON, or hides it; boot one with CONFIG_DAMON_SYSFS"
            )
        if not os.access(self._kdamonds / "nr_kdamonds", os.W_OK):
            raise MissingCapability(f"{self._kdamonds}: the kernel's DAMON cannot be written to; run as root")

    def _refuse_others(self) -> None:
        """EBUSY when there is a worker that is not of this process."""
        for index, pid in running(self._admin).items():
            if self._found.kdamonds.get(str(index)) != pid:
                place = self._kdamonds / str(index)
                raise DamonError(
                    errno.EBUSY,
                    f"{place}/state: on: kdamond {pid} belongs to another user; let it end, or write off there",
                )
        self._refuse_other_modules()

    def _refuse_own(self, module: str = "") -> None:
        """EBUSY while something runs that was started here: contexts start together, modules exclusively."""
        if any(self.is_running(ctx) for ctx in self._places):
            raise DamonError(errno.EBUSY, f"{module or 'start'}: contexts: they run here; stop them first")
        for name in self.running_modules():
            raise DamonError(errno.EBUSY, f"{module or 'start'}: {name}: it runs here; stop it first")

    def _context(self, ctx: DamonCtx) -> Path:
        return self._places[ctx][0] / "contexts/0"

    def _running(self, ctx: DamonCtx) -> Path:
        if not self.is_running(ctx):
            raise refused.not_running()
        return self._places[ctx][0]

    def _cgroup(self, memcg_id: int) -> str:
        for directory, _, _ in os.walk(CGROUPS):
            if os.stat(directory).st_ino == memcg_id:
                return f"/{Path(directory).relative_to(CGROUPS)}" if directory != str(CGROUPS) else "/"
        raise InvalidInput(f"cgroup: {memcg_id}: there is none with that id; take ids from memcg_id()")


def _tried(place: Path) -> Tried:
    passed, probes = place / "sz_filter_passed", place / "probes"
    hits = sorted((int(path.parent.name), number(path)) for path in probes.glob("*/hits")) if probes.is_dir() else []
    start, end, nr_accesses, age = (number(place / name) for name in ("start", "end", "nr_accesses", "age"))
    return Tried(start, end, nr_accesses, age, number(passed) if passed.exists() else 0, tuple(hit for _, hit in hits))
