# SPDX-License-Identifier: GPL-2.0-only
"""After a walk that was canceled, the next one leaves out the schemes that had their turn in the first.

``python canceled_walk.py linux-source-7.3``
"""

import sys

import damon

with damon.open_machine(sim="hot-cold", seed=1) as machine:
    kernel = damon.open_engine(sys.argv[1]).open(machine, seed=1)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    for apply_interval_us in (100_000, 10_000_000):
        ctx.schemes.append(damon.Damos(action=damon.DamosAction.STAT, apply_interval_us=apply_interval_us))

    def walk() -> list[int]:
        seen = [0, 0]

        def count(ctx: damon.DamonCtx, target: object, region: object, scheme: damon.Damos, passed: int) -> None:
            seen[ctx.schemes.index(scheme)] += 1

        try:
            kernel.walk(ctx, damon.DamosWalkControl(count))
        except damon.DamonError as error:
            print(f"first walk: {error}")
        return seen

    with damon.running(kernel, ctx):
        walker = machine.clock.spawn("walker", lambda: walk() and None)
        machine.clock.sleep_us(500_000)  # the first scheme has had its pass, the second comes after 10 s
        for pause in (True, False):
            with damon.changes(kernel, ctx) as wanted:
                wanted.pause = pause
            machine.clock.sleep_us(200_000)
        walker.join()
        seen = walk()
        print(f"second walk: {seen[0]} regions of scheme 0, {seen[1]} of scheme 1")
