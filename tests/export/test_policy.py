# SPDX-License-Identifier: GPL-2.0-only
"""What a file's policy is, what becomes a stub, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from damon.cli.main import main
from damon.export.policy import read_policy
from damon.model.scheme import DamosAction, DamosFilter, DamosQuotaGoalMetric
from tests.export.results import POLICIES, machine


def test_parts_in_python_become_stubs_that_do_no_harm() -> None:
    policy = read_policy(POLICIES / "own_parts.py", machine("hot-cold"))
    (ctx,) = policy.ctxs
    assert ctx.ops.id == "fvaddr"
    assert ctx.targets[0].regions.ranges() == [(0x700000000000, 0x700000400000)]
    assert [scheme.action for scheme in ctx.schemes] == [DamosAction.STAT, DamosAction.PAGEOUT, DamosAction.STAT]
    assert ctx.schemes[0].quota.sz == 1 << 20
    (goal,) = ctx.schemes[1].quota.goals
    assert (goal.metric, goal.target_value, goal.current_value) == (DamosQuotaGoalMetric.USER_INPUT, 400, 400)
    (kept,) = ctx.schemes[2].core_filters
    assert isinstance(kept, DamosFilter)
    assert [str(stub) for stub in policy.stubs] == [
        "STUB: context/operations: operations set 'vaddr-twice' runs in Python only; fvaddr stands in",
        "STUB: context/schemes/0/action: action 'gently' runs in Python only; stat stands in",
        "STUB: context/schemes/1/quotas/goals/0: metric 'free_mib' runs in Python only; user_input stands in, at its "
        "target: write current_value",
        "STUB: context/schemes/2/filters: filter is_big (matching=True, allow=False) runs in Python only; left out, "
        "and stat stands in for cold, which needs it",
    ]
    assert "    return region.size >= 8 << 20" in policy.stubs[3].source


def test_stubs_are_reported_and_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(POLICIES / "own_parts.py"), "--to", "sysfs-script"]) == 0
    out, err = capsys.readouterr()
    assert err.count("damon: STUB: ") == 4
    assert "# STUB: context/schemes/0/action: action 'gently'" in out
    assert "#     def is_big(" in out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\n", "has no function policy; define policy(kernel) that returns a DamonCtx, or several"),
        ("def policy(kernel):\n    return 7\n", "policy() returned 7; define policy(kernel)"),
        ("def policy(kernel):\n    return []\n", "policy() returned []; define policy(kernel)"),
        ("def policy(kernel):\n\n    return kernel.machine.pids['no']\n", "py:3: KeyError: 'no'; correct the policy"),
        ("def policy(kernel:\n", "py:1: SyntaxError: "),
        ("def policy(kernel):\n    return kernel.new_ctx()\n", "no operations set; call kernel.select_ops()"),
        (
            "def policy(kernel):\n    c = kernel.new_ctx()\n    kernel.select_ops(c, 'paddr')\n    return c\n",
            "no target; call damon.add_process()",
        ),
        (
            "import damon\ndef policy(kernel):\n    c = kernel.new_ctx()\n    kernel.select_ops(c, 'vaddr')\n"
            "    damon.add_process(c, 4711)\n",
            "pid: 4711: the simulated machine has no such process",
        ),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(
    text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, target = tmp_path / "p.py", tmp_path / "out"
    file.write_text(text)
    assert main(["export", str(file), "--to", "sysfs-script", "-o", str(target)]) == 2
    out, err = capsys.readouterr()
    assert why in err
    assert (out, err.count("\n")) == ("", 1)
    assert not target.exists()


def test_files_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "no.py"), "--to", "sysfs-script"]) == 2
    assert "No such file or directory; give a Python file" in capsys.readouterr().err
    policy = str(POLICIES / "goals.py")
    assert main(["export", policy, "--to", "sysfs-script", "-o", str(tmp_path / "no/p.sh")]) == 2
    assert "--output" in capsys.readouterr().err


LATER = """
import damon

def policy(kernel):
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    {kind} = damon.DamonFilter("{kind}", True, True, range_max=4096)
    ctx.probes.append(damon.DamonProbe(1, [{kind}], [damon.DamonPrep()]))
    scheme = damon.Damos()
    scheme.add_filter(damon.DamosFilter("probe_hits_wsum", True, range_min=3, range_max=30))
    ctx.schemes.append(scheme)
    return ctx
"""


def _exported(tmp_path: Path, kind: str, form: str) -> tuple[int, str]:
    file, target = tmp_path / "later.py", tmp_path / "out"
    file.write_text(LATER.format(kind=kind))
    code = main(["export", str(file), "--to", form, "--sim", "hot-cold", "-o", str(target)])
    return code, target.read_text() if target.exists() else ""


def test_features_of_the_level_next_are_exported(tmp_path: Path) -> None:
    """The kernel that lacks them refuses them."""
    code, script = _exported(tmp_path, "hugepage_size", "sysfs-script")
    assert code == 0
    for line in (
        "probes/0/preps/nr_preps 1 0", "probes/0/preps/0/prep_action set_pgidle", "probes/0/filters/0/max 4096",
        "core_filters/0/type probe_hits_wsum", "core_filters/0/min 3",
    ):  # fmt: skip
        assert line in script
    code, text = _exported(tmp_path, "pgidle_unset", "kernel-c")
    assert code == 0
    for line in ("damon_new_prep(DAMON_PREP_SET_PGIDLE)", "DAMON_FILTER_TYPE_PGIDLE_UNSET", "filter->range_max = "):
        assert line in text


def test_a_range_of_a_probe_in_c_is_two_parameters(tmp_path: Path) -> None:
    code, text = _exported(tmp_path, "hugepage_size", "kernel-c")
    assert code == 0
    for edge, value in (("min", 0), ("max", 4096)):
        assert f"filter->range_{edge} = probe0_filter0_range_{edge};" in text
        assert f"unsigned long probe0_filter0_range_{edge} __read_mostly{f' = {value}' if value else ''};" in text
