# SPDX-License-Identifier: GPL-2.0-only
"""The C: built into the kernel's own DAMON, it does what the policy does, on that and on pydamon's own core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import damon
from damon.cli.main import main
from damon.errors import InvalidInput
from damon.export.policy import made
from damon.kernel.build import Built, build
from damon.kernel.engine import KernelDamon
from damon.kernel.source import open_source
from damon.modules.kernel import kernel_modules
from damon.modules.loader import Loader
from tests.export.results import (
    CASES,
    POLICIES,
    SECONDS,
    exported,
    machine,
    memory,
    outcome,
    outcome_of_policy,
    results,
)
from tests.kernel.trees import CURRENT, built, changed, kept, source


def with_file(file: Path) -> Built:
    return build(source().with_files([kept(file)]))


def _of_c(library: Built, module: str, workload: str, *words: str) -> list[Any]:
    with machine(workload) as on:
        kernel = KernelDamon(on, library, seed=7)
        loader = Loader(kernel, known=kernel_modules(library))
        loader.load(loader.prepare(module, [*words, "enabled=Y"]))
        on.clock.sleep_us(SECONDS * 1_000_000)
        result = [*results(kernel, kernel.running()), memory(on)]
        loader.unload_all()
        assert not kernel.running()
        assert not kernel.warnings
        return result


@pytest.mark.parametrize(("policy", "workload"), CASES)
def test_the_same_result_as_the_policy(policy: str, workload: str, tmp_path: Path) -> None:
    library = with_file(exported(policy, "kernel-c", workload, tmp_path / f"{policy}.c"))
    pids = ["target_pid=1000"] if policy == "proactive_reclaim" else []
    file = POLICIES / f"{policy}.py"
    same = outcome_of_policy(file, workload, built())
    applied = [stat["sz_applied"] for context in same[:-1] for stat, _, _ in context[2]]
    assert any(applied), applied
    assert _of_c(library, f"damon_{policy}", workload, *pids) == same


@pytest.mark.parametrize("library", [None, "the kernel's"])
def test_goals_are_what_it_works_for(library: str | None) -> None:
    """The same policy with another goal leaves another part of node 0 free."""

    def free(goal: int) -> float:
        def make(kernel: damon.Damon) -> list[damon.DamonCtx]:
            ctxs = made(POLICIES / "goals.py", kernel)
            ctxs[0].schemes[0].quota.goals[0].target_value = goal
            return ctxs

        left, total = outcome("hot-cold", built() if library else None, make)[-1][1]
        return float(left / total)

    met, some, more = (free(goal) for goal in (1000, 3000, 5000))
    assert met < 0.3 <= some < more


@pytest.mark.parametrize(("policy", "workload"), CASES)
def test_the_same_result_of_both_engines(policy: str, workload: str) -> None:
    file = POLICIES / f"{policy}.py"
    assert outcome_of_policy(file, workload, None) == outcome_of_policy(file, workload, built())


def test_interval_goals_and_probes(tmp_path: Path) -> None:
    """Built and run by the kernel's C both times."""
    file = tmp_path / "tuned.py"
    text = (POLICIES / "tiering.py").read_text()
    goal = "access_bp=400, aggrs=3, min_sample_us=5000, max_sample_us=10_000_000"
    more = f"""damon.set_attrs(ctx, damon.DamonAttrs(intervals_goal=damon.DamonIntervalsGoal({goal})))
    ctx.probes.append(damon.DamonProbe(filters=[damon.DamonFilter(damon.DamonFilterType.ANON, True, True)]))
    scheme.add_filter(damon.DamosFilter(damon.DamosFilterType.YOUNG, matching=True, allow=node == SLOW))
    ctx.schemes.append(scheme)"""
    assert text.count("ctx.schemes.append(scheme)") == 1
    file.write_text(text.replace("ctx.schemes.append(scheme)", more))
    target = tmp_path / "tuned.c"
    exported(file, "kernel-c", "tiering", target)
    found = _of_c(with_file(target), "damon_tuned", "tiering")
    assert found[0][0] > 5000
    assert found == outcome_of_policy(file, "tiering", built())


#: What the patch queue has of ``hugepage_size`` in ``damon.h`` (DAMON spec, next 1).
LATER = (
    ("\tDAMON_FILTER_TYPE_MEMCG,\n", "\tDAMON_FILTER_TYPE_MEMCG,\n\tDAMON_FILTER_TYPE_HUGEPAGE_SIZE,\n"),
    (
        "\tbool allow;\n\tunion {\n\t\tu64 memcg_id;\n\t};\n",
        "\tbool allow;\n\tunion {\n\t\tu64 memcg_id;\n"
        "\t\tstruct {\n\t\t\tunsigned long range_min;\n\t\t\tunsigned long range_max;\n\t\t};\n\t};\n",
    ),
)
SIZES = """
import damon

def policy(kernel):
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    size = damon.DamonFilter("hugepage_size", True, True, range_min=4096, range_max=2 << 20)
    ctx.probes.append(damon.DamonProbe(1, [size]))
    return ctx
"""


def test_a_range_of_a_probe_in_a_later_kernel(tmp_path: Path) -> None:
    """A tree whose ``damon.h`` has the type takes the policy's range, and what its parameters say."""
    file, target = tmp_path / "sizes.py", tmp_path / "sizes.c"
    file.write_text(SIZES)
    tree = open_source(str(changed(*LATER, file="include/linux/damon.h")))
    library = build(tree.with_files([kept(exported(file, "kernel-c", "hot-cold", target))]))

    def range_of(*words: str) -> tuple[int, int]:
        with machine("hot-cold") as on:
            kernel = KernelDamon(on, library, seed=7)
            loader = Loader(kernel, known=kernel_modules(library))
            loader.load(loader.prepare("damon_sizes", [*words, "enabled=Y"]))
            on.clock.sleep_us(2_000_000)
            ((rule,),) = (probe.filters for probe in kernel.running()[0].probes)
            loader.unload_all()
        assert rule.type is damon.DamonFilterType.HUGEPAGE_SIZE
        return rule.range_min, rule.range_max

    assert range_of() == (4096, 2 << 20)
    assert range_of("probe0_filter0_range_min=8192", "probe0_filter0_range_max=1073741824") == (8192, 1 << 30)


def test_a_parameter_decides(tmp_path: Path) -> None:
    library = with_file(exported("proactive_reclaim", "kernel-c", "hot-cold", tmp_path / "proactive_reclaim.c"))
    usual, late = (
        _of_c(library, "damon_proactive_reclaim", "hot-cold", "target_pid=1000", f"min_age_region={age}")
        for age in (50, 1000)
    )
    assert usual[0][2][0][0]["sz_applied"] > 0
    assert late[0][2][0][0]["sz_applied"] == 0


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source()
    made = exported("proactive_reclaim", "kernel-c", "hot-cold", tmp_path / "proactive_reclaim.c")
    file, result = kept(made), tmp_path / "result.json"
    engine = ["--engine", CURRENT, "--with", str(file)]
    assert main(["modinfo", *engine, "damon_proactive_reclaim", "--json"]) == 0
    rows = {row["name"]: row["default"] for row in json.loads(capsys.readouterr().out)["parameters"]}
    assert (rows["min_age_region"], rows["target_pid"], rows["sample_interval"]) == ("50", "0", "5000")
    words = ["--module", "damon_proactive_reclaim", "target_pid=1000", "--sim", "hot-cold", "--duration", "12"]
    assert main(["run", *engine, *words, "--quiet", "--json", str(result)]) == 0
    found = json.loads(result.read_text())
    assert found["engine"]["origin"].endswith(" with proactive_reclaim.c")
    assert found["engine"]["sha256"] != source().sha256
    cold = found["areas"]["cold"]
    assert cold["resident_bytes_end"] < cold["size_bytes"] / 10


def test_no_such_process(tmp_path: Path) -> None:
    library = with_file(exported("proactive_reclaim", "kernel-c", "hot-cold", tmp_path / "proactive_reclaim.c"))
    kernel = KernelDamon(machine("hot-cold"), library, seed=1)
    loader = Loader(kernel, known=kernel_modules(library))
    with pytest.raises(damon.DamonError, match="enabled: 'Y': Invalid argument"):
        loader.load(loader.prepare("damon_proactive_reclaim", ["target_pid=4711", "enabled=Y"]))
    assert not kernel.running()


def test_the_trees_own_samples(tmp_path: Path) -> None:
    """prcl.c as it is does what the policy that is like it does."""
    samples = source().path / "samples/damon"
    library = build(source().with_files([samples / name for name in ("prcl.c", "mtier.c", "wsse.c")]))
    assert {"damon_sample_prcl", "damon_sample_mtier", "damon_sample_wsse"} <= kernel_modules(library).keys()
    theirs = _of_c(library, "damon_sample_prcl", "hot-cold", "target_pid=1000")
    assert theirs == outcome_of_policy(POLICIES / "proactive_reclaim.py", "hot-cold", None)
    detected = _of_c(library, "damon_sample_mtier", "tiering", "detect_node_addresses=Y")
    assert len(detected) == 3


def test_stubs_compile_and_say_what_is_missing(tmp_path: Path) -> None:
    file = exported("own_parts", "kernel-c", "hot-cold", tmp_path / "own_parts.c")
    text = file.read_text()
    assert text.count(" * STUB: ") == 4
    assert " *     def is_big(" in text
    assert {"damon_own_parts"} <= kernel_modules(with_file(file)).keys()


def test_what_does_not_build_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "mine.c"
    file.write_text("#include <linux/damon.h>\nint f(void) { return no_such_thing; }\n")
    with pytest.raises(InvalidInput, match=r"mine\.c:2:\d+: error: .*no_such_thing"):
        with_file(file)
    with pytest.raises(InvalidInput, match=r"does not end with \.c; give a C file"):
        source().with_files([tmp_path / "mine.h"])
    with pytest.raises(InvalidInput, match="No such file or directory; give one that can be read"):
        source().with_files([tmp_path / "no.c"])


def test_files_are_the_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modinfo", "--with", "x.c", "damon_reclaim"]) == 2
    assert "engine: pydamon: it takes no C files; give kernel:DIR or linux-source-VERSION" in capsys.readouterr().err
