#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Two filters: one rejects whole regions by their size, one allows every other page frame.

Run it with ``python examples/filter.py``; the machine is simulated. It prints how many regions the scheme was applied
to without filters, with the first and with both, and how much of them the filter of page frames let pass.
"""

from __future__ import annotations

import damon


def is_big(ctx: damon.DamonCtx, target: damon.DamonTarget, region: damon.DamonRegion) -> bool:
    """The core asks this before anything is done to a region."""
    return region.size >= 8 << 20


def is_even(folio: damon.DamonFolio) -> bool:
    """The operations layer asks this of each folio of a region."""
    return folio.pfn % 2 == 0


# ``matching`` and ``allow`` mean what they mean for the kernel's filters.
ONLY_BIG = damon.DamosRegionFilter(is_big, matching=False, allow=False)  # rejects what is not big
ONLY_EVEN = damon.DamosFolioFilter(is_even, matching=True, allow=True)  # allows what is even, rejects the rest


def run(*filters: damon.DamosRegionFilter | damon.DamosFolioFilter) -> damon.Damos:
    """Count accessed physical memory of the hot-cold workload for five seconds, with ``filters``."""
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "paddr")
        damon.add_memory(ctx)
        pattern = damon.DamosAccessPattern(min_nr_accesses=1)
        scheme = damon.Damos(action=damon.DamosAction.STAT, pattern=pattern)
        for one in filters:
            scheme.add_filter(one)
        ctx.schemes.append(scheme)
        with damon.running(kernel, ctx):
            machine.clock.sleep_us(5_000_000)
        return scheme


def main() -> None:
    for name, filters in {"no filter": (), "is_big": (ONLY_BIG,), "is_big, is_even": (ONLY_BIG, ONLY_EVEN)}.items():
        stat = run(*filters).stat
        passed = f", of which {stat.sz_ops_filter_passed >> 20} MiB passed" if ONLY_EVEN in filters else ""
        print(f"{name}: {stat.nr_tried} regions, {stat.sz_tried >> 20} MiB{passed}")


if __name__ == "__main__":
    main()
