# SPDX-License-Identifier: GPL-2.0-only
"""Mutations of ``damon.core`` that the fuzzer must find: what each breaks, and the text it replaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutation:
    """``changes``: file, text that is there once, text in its place."""

    name: str
    changes: tuple[tuple[str, str, str], ...]


def _one(name: str, file: str, old: str, new: str) -> Mutation:
    """A change of one line of the core, or of the C helper."""
    directory = "damon/native/src" if file.endswith(".c") else "damon/core"
    return Mutation(name, ((f"{directory}/{file}", old, new),))


MUTATIONS: Final = (
    _one("histogram-not-for-all-actions", "quota.py",
         "    if ctx.ops.scores:\n", "    if ctx.ops.scores and ctx.ops.score(scheme):\n"),
    Mutation("weights-of-the-loops-start", (
        ("damon/core/kdamond.py", "        attributes_only = has_weights(ctx.probes)\n",
         "        attributes_only = has_weights(ctx.probes)\n"
         "        from damon.model.probe import probe_weights\n"
         "        ctx.weights = probe_weights(ctx.probes) if attributes_only else None\n"),
        ("damon/core/regions.py", "    weights = probe_weights(ctx.probes) if has_weights(ctx.probes) else None\n",
         "    weights = getattr(ctx, \"weights\", None)\n"),
    )),
    _one("all-probe-hits-rescaled", "attrs.py", "for index in range(len(ctx.probes)):", "for index in range(4):"),
    _one("ages-rescaled-the-wrong-way", "attrs.py",
         "region.age * old.aggr_interval // new.aggr_interval", "region.age * new.aggr_interval // old.aggr_interval"),
    _one("counts-kept-while-aggregating", "attrs.py",
         "region.nr_accesses = 0 if aggregating else", "region.nr_accesses = 0 if not aggregating else"),
    _one("tuning-by-the-last-aggregation", "attrs.py",
         "got += region.size * region.nr_accesses", "got += region.size * region.last_nr_accesses"),
    _one("action-keeps-age", "damos.py",
         "if scheme.action is not DamosAction.STAT:", "if scheme.action is DamosAction.PAGEOUT:"),
    _one("failures-charged-in-full", "quota.py",
         "applied + failed * quota.fail_charge_num // quota.fail_charge_denom", "applied + failed"),
    _one("resume-skips-one-more", "damos.py",
         "if resume and region.start < resume:", "if resume and region.start <= resume:"),
    _one("removed-target-is-resumed", "commit.py",
         "            forget_target(dst, target)\n", "            pass\n"),
    _one("new-scheme-is-due-at-once", "commit.py",
         "        damos_set_next_apply_sis(dst, new)\n", "        new.next_apply_sis = dst.passed_sample_intervals\n"),
    _one("middle-watermark-included", "watermarks.py",
         "if metric >= marks.mid and not marks.activated:", "if metric > marks.mid and not marks.activated:"),
    _one("last-goal-decides", "goals.py",
         "best = max(best, goal.current_value * _BP // goal.target_value)",
         "best = goal.current_value * _BP // goal.target_value"),
    _one("eligible-by-whole-windows", "goals.py",
         "if not matches(region, scheme, left_bp):", "if not matches(region, scheme, 10000):"),
    _one("core-default-ignores-ops-filters", "damos_filter.py",
         "= not ops and bool(core) and core[-1].allow", "= bool(core) and core[-1].allow"),
    _one("address-filter-not-aligned", "damos_filter.py",
         "    end = align_down(wanted.addr_end, ctx.min_region_sz)\n    if", "    end = wanted.addr_end\n    if"),
    _one("walk-waits-for-active-schemes-only", "damos_walk.py",
         "    damos_walk_complete(ctx, due)\n", "    damos_walk_complete(ctx, active)\n"),
    _one("merge-threshold-excluded", "region.c",
         "distance(merge_score(prev, weights), score) <= threshold",
         "distance(merge_score(prev, weights), score) < threshold"),
    _one("age-survives-first-access", "region.c",
         "if (distance(score, last) > threshold || (score == 0) != (last == 0))",
         "if (distance(score, last) > threshold)"),
    _one("smallest-regions-split-in-three", "region.c",
         "n < nr_subs - 1 && sz > 2 * min_sz", "n < nr_subs - 1 && sz >= 2 * min_sz"),
    _one("probe-hits-not-averaged", "region.c",
         "for (int i = 0; i < DAMON_MAX_PROBES; i++)", "for (int i = 0; i < DAMON_MAX_PROBES - 1; i++)"),
    _one("slices-merged-whatever-was-counted", "damos.c",
         "\t       prev->nr_accesses == r->nr_accesses && damon", "\t       damon"),
    _one("idle-is-as-hot-as-used", "damos.c", "\tif (!freq)\n\t\tlog = -log;\n", ""),
    _one("moving-sum-rounded-up", "damos.c",
         "(uint32_t)((uint64_t)r->last_nr_accesses * left_bp / 10000)",
         "(uint32_t)(((uint64_t)r->last_nr_accesses * left_bp + 9999) / 10000)"),
)  # fmt: skip
