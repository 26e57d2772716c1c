#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A policy: page out what a process has not accessed for two seconds, at most 64 MiB a second.

Run it with ``python examples/policy.py``; it needs no root, the machine is simulated. It prints the free memory of
each second, then what the scheme did.
"""

from __future__ import annotations

import damon

MIB = 1 << 20


def main() -> None:
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "vaddr")
        damon.add_process(ctx, machine.pids["main"])
        scheme = damon.Damos(
            action=damon.DamosAction.PAGEOUT,
            # Never accessed in an aggregation interval (100 ms), and so for 20 of them.
            pattern=damon.DamosAccessPattern(max_nr_accesses=0, min_age_region=20),
            quota=damon.DamosQuota(sz=64 * MIB, reset_interval=1000),
        )
        ctx.schemes.append(scheme)
        with damon.running(kernel, ctx):
            for second in range(1, 9):
                machine.clock.sleep_us(1_000_000)
                free, total = machine.free_mem()
                print(f"after {second} s: {free * 4096 // MIB} of {total * 4096 // MIB} MiB are free")
        stat = scheme.stat
        print(f"tried {stat.sz_tried // MIB} MiB, paged out {stat.sz_applied // MIB} MiB")
        print(f"the quota ended {stat.qt_exceeds} windows")


if __name__ == "__main__":
    main()
