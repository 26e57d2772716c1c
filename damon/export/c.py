# SPDX-License-Identifier: GPL-2.0-only
"""A policy as C in the manner of the kernel's ``samples/damon``: contexts by DAMON's API, numbers as parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from damon.export.c_scheme import add_scheme
from damon.export.c_text import Parameters, block, designated
from damon.export.policy import Policy
from damon.model.context import DAMON_MIN_REGION_SZ, DamonCtx
from damon.model.probe import DamonFilterType, DamonProbe
from damon.version import __version__

_HEAD: Final = """\
// SPDX-License-Identifier: GPL-2.0
/*
 * {file} for the kernel's DAMON (7.2 or later); written by damon export (pydamon {version}).
 *
 * To build it in: put it into samples/damon as {name}.c, add "obj-y += {name}.o" to the Makefile there, and enable
 * CONFIG_SAMPLE_DAMON_PRCL, which makes the build enter that directory.
 * To start: parameters in /sys/module/damon_{name}/parameters, or damon_{name}.NAME=VALUE at boot; enabled=Y last.
{stubs} */

#define pr_fmt(fmt) "damon_{name}: " fmt

#include <linux/damon.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/slab.h>

#ifdef MODULE_PARAM_PREFIX
#undef MODULE_PARAM_PREFIX
#endif
#define MODULE_PARAM_PREFIX "damon_{name}."

"""
_ADD_TARGET: Final = """
static int {name}_add_target(struct damon_ctx *ctx, int pid, struct damon_addr_range *ranges, unsigned int nr)
{
	struct damon_target *target = damon_new_target();

	if (!target)
		return -ENOMEM;
	damon_add_target(ctx, target);
	if (damon_target_has_pid(ctx)) {
		target->pid = find_get_pid(pid);
		if (!target->pid)
			return -EINVAL;
	}
	return nr ? damon_set_regions(target, ranges, nr, ctx->min_region_sz) : 0;
}
"""
_ADD_RAM: Final = """
/* Both 0: from the first to the last System RAM. */
static int {name}_add_memory(struct damon_ctx *ctx, unsigned long start, unsigned long end)
{
	struct damon_target *target = damon_new_target();

	if (!target)
		return -ENOMEM;
	damon_add_target(ctx, target);
	return damon_set_region_system_rams_default(target, &start, &end, ctx->addr_unit, ctx->min_region_sz);
}
"""
_TAIL: Final = """
static struct damon_ctx *(*const {name}_builders[])(void) = {
	@builders@
};
static struct damon_ctx *{name}_ctxs[ARRAY_SIZE({name}_builders)];

static void {name}_destroy(void)
{
	for (int i = 0; i < ARRAY_SIZE({name}_ctxs); i++) {
		if ({name}_ctxs[i])
			damon_destroy_ctx({name}_ctxs[i]);
		{name}_ctxs[i] = NULL;
	}
}

static int {name}_start(void)
{
	int err = 0;

	for (int i = 0; !err && i < ARRAY_SIZE({name}_ctxs); i++) {
		{name}_ctxs[i] = {name}_builders[i]();
		if (!{name}_ctxs[i])
			err = -EINVAL;
	}
	if (!err)
		err = damon_start({name}_ctxs, ARRAY_SIZE({name}_ctxs), true);
	if (err)
		{name}_destroy();
	return err;
}

static void {name}_stop(void)
{
	damon_stop({name}_ctxs, ARRAY_SIZE({name}_ctxs));
	{name}_destroy();
}

static bool enabled __read_mostly;

static int {name}_enabled_store(const char *val, const struct kernel_param *kp)
{
	bool was_enabled = enabled;
	int err = kstrtobool(val, &enabled);

	if (err || enabled == was_enabled || !damon_initialized())
		return err;
	if (!enabled) {
		{name}_stop();
		return 0;
	}
	err = {name}_start();
	if (err)
		enabled = false;
	return err;
}

static const struct kernel_param_ops {name}_enabled_ops = {
	.set = {name}_enabled_store,
	.get = param_get_bool,
};
module_param_cb(enabled, &{name}_enabled_ops, &enabled, 0600);
MODULE_PARM_DESC(enabled, "run or stop");

static int __init {name}_init(void)
{
	if (!enabled)
		return 0;
	if (!damon_initialized() || {name}_start())
		enabled = false;
	return 0;
}

module_init({name}_init);
"""


def c_text(policy: Policy) -> str:
    """The text of the file; its module is ``damon_NAME``, NAME being the policy's file's."""
    name, parameters = policy.name, Parameters()
    body = []
    for index, ctx in enumerate(policy.ctxs):
        prefix = f"ctx{index}_" if len(policy.ctxs) > 1 else ""
        body.append(_context(policy, ctx, f"{name}_ctx{index}", prefix, parameters))
    head = _HEAD.format(file=policy.file, name=name, version=__version__, stubs=_stubs(policy))
    targets = {target in policy.whole_ram for ctx in policy.ctxs for target in ctx.targets}
    helpers = (_ADD_TARGET if False in targets else "") + (_ADD_RAM if True in targets else "")
    builders = "".join(f"{name}_ctx{index}, " for index in range(len(policy.ctxs))).rstrip(" ")
    tail = (helpers + "@body@" + _TAIL).replace("{name}", name).replace("@builders@", builders)
    return head + "\n".join(parameters.lines) + "\n" + tail.replace("@body@", "".join(body))


def _stubs(policy: Policy) -> str:
    """Python's source could end the comment that it stands in."""
    lines = []
    for stub in policy.stubs:
        lines += ["", str(stub), *(f"    {line}" for line in stub.source.splitlines())]
    return "".join(f" * {line}".rstrip() + "\n" for line in lines).replace("*/", "* /").replace("/*", "/ *")


def _context(policy: Policy, ctx: DamonCtx, name: str, prefix: str, parameters: Parameters) -> str:
    """Functions that build a context, the last of them ``NAME()``."""
    attrs, goal = ctx.attrs, ctx.attrs.intervals_goal
    fields = {
        field: parameters.ulong(f"{prefix}{field}", getattr(attrs, field))
        for field in ("sample_interval", "aggr_interval", "ops_update_interval", "min_nr_regions", "max_nr_regions")
    }
    for field in ("access_bp", "aggrs", "min_sample_us", "max_sample_us"):
        if goal.aggrs:
            fields[f"intervals_goal.{field}"] = parameters.ulong(f"{prefix}goal_{field}", getattr(goal, field))
    steps = list(_targets(policy, ctx, prefix, parameters))
    parts = []
    for index, probe in enumerate(ctx.probes):
        steps.append(f"{name}_add_probe{index}(ctx)")
        filters = list(_probe_filters(probe, f"{prefix}probe{index}_", parameters))
        parts.append(_probe(f"{name}_add_probe{index}", probe, filters))
    for index, scheme in enumerate(ctx.schemes):
        steps.append(f"{name}_add_scheme{index}(ctx)")
        own = f"{prefix}scheme{index}_" if len(ctx.schemes) > 1 else prefix
        parts.append(add_scheme(scheme, f"{name}_add_scheme{index}", own, parameters))
    settings = [f"ctx->addr_unit = {ctx.addr_unit};"] if ctx.addr_unit != 1 else []
    settings += [f"ctx->min_region_sz = {ctx.min_region_sz};"] if ctx.min_region_sz != DAMON_MIN_REGION_SZ else []
    settings += ["ctx->pause = true;"] if ctx.pause else []
    lines = [
        *designated("struct damon_attrs attrs", fields),
        "struct damon_ctx *ctx = damon_new_ctx();",
        *dict.fromkeys(line for step in steps for line in step.splitlines()[:-1]),
        "",
        "if (!ctx)", "\treturn NULL;",
        f"if (damon_select_ops(ctx, DAMON_OPS_{ctx.ops.id.upper()}))", "\tgoto free_out;",
        *settings,
        "if (damon_set_attrs(ctx, &attrs))", "\tgoto free_out;",
    ]  # fmt: skip
    for step in steps:
        lines += [f"if ({step.splitlines()[-1]})", "\tgoto free_out;"]
    lines += ["return ctx;"]
    text = block(
        f"static struct damon_ctx *{name}(void)", lines, "free_out:\n\tdamon_destroy_ctx(ctx);\n\treturn NULL;\n"
    )
    return "".join(parts) + text


def _targets(policy: Policy, ctx: DamonCtx, prefix: str, parameters: Parameters) -> Iterator[str]:
    """Declarations of each target, and what adds it as the last line."""
    name = policy.name
    for index, target in enumerate(ctx.targets):
        own = f"{prefix}target{index}_" if len(ctx.targets) > 1 else prefix
        if target in policy.whole_ram:
            start, end = (parameters.ulong(f"{own}region_{edge}", 0, always=True) for edge in ("start", "end"))
            yield f"{name}_add_memory(ctx, {start}, {end})"
            continue
        pid = "0"
        if ctx.ops.has_pid:
            pid = parameters.add(f"{own}pid" if own.endswith(f"target{index}_") else f"{own}target_pid", "int", 0)
        ranges = target.regions.ranges()
        lines = []
        for number, (start_at, end_at) in enumerate(ranges):
            region = f"{own}region{number}" if len(ranges) > 1 else f"{own}region"
            start, end = parameters.ulong(f"{region}_start", start_at), parameters.ulong(f"{region}_end", end_at)
            lines.append(f"\t{{ .start = {start}, .end = {end} }},")
        if not lines:
            yield f"{name}_add_target(ctx, {pid}, NULL, 0)"
            continue
        array = f"target{index}_ranges"
        declared = "\n".join([f"struct damon_addr_range {array}[] = {{", *lines, "};"])
        yield f"{declared}\n{name}_add_target(ctx, {pid}, {array}, ARRAY_SIZE({array}))"


def _probe_filters(probe: DamonProbe, prefix: str, parameters: Parameters) -> Iterator[str]:
    """Adds the probe's filters; what is after 7.3 has the names of the patch queue (DAMON spec, next 1)."""
    for nr, wanted in enumerate(probe.filters):
        matching, allow = (str(value).lower() for value in (wanted.matching, wanted.allow))
        yield f"filter = damon_new_filter(DAMON_FILTER_TYPE_{wanted.type.value.upper()}, {matching}, {allow});"
        yield from ("if (!filter)", "\treturn -ENOMEM;")
        if wanted.memcg_id:
            yield f"filter->memcg_id = {wanted.memcg_id}; /* of the simulated machine */"
        if wanted.type is DamonFilterType.HUGEPAGE_SIZE:
            for edge in ("range_min", "range_max"):
                value = parameters.ulong(f"{prefix}filter{nr}_{edge}", getattr(wanted, edge), always=True)
                yield f"filter->{edge} = {value};"
        yield "damon_add_filter(probe, filter);"


def _probe(name: str, probe: DamonProbe, filters: list[str]) -> str:
    lines = ["struct damon_probe *probe = damon_new_probe();"]
    lines += ["struct damon_prep *prep;"] if probe.preps else []
    lines += ["struct damon_filter *filter;"] if filters else []
    lines += ["", "if (!probe)", "\treturn -ENOMEM;", "damon_add_probe(ctx, probe);"]
    lines += [f"probe->weight = {probe.weight};"] if probe.weight else []
    for prep in probe.preps:
        lines += [f"prep = damon_new_prep(DAMON_PREP_{prep.action.value.upper()});", "if (!prep)", "\treturn -ENOMEM;"]
        lines += ["damon_add_prep(probe, prep);"]
    return block(f"static int {name}(struct damon_ctx *ctx)", [*lines, *filters, "return 0;"])
