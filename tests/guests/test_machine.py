# SPDX-License-Identifier: GPL-2.0-only
"""The guest for a workload's machine, what is refused before one is started, and what it has of the package."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from damon.errors import InvalidInput, MissingCapability
from damon.guests import machine, staging
from damon.guests.engine import GuestEngine
from damon.workload.load import parse_workload
from damon.workload.model import Cgroup
from vmtest.errors import MachineLacks
from vmtest.images import rootfs_build, variants
from vmtest.qemu import accel
from vmtest.qemu.accel import Accelerator

OPTIONS = ("IDLE_PAGE_TRACKING", "PROC_PAGE_MONITOR", "DAMON_SYSFS", "DAMON_RECLAIM")


@dataclass
class Built:
    """What this machine has."""

    kernel: SimpleNamespace | None
    rootfs: bool = True
    qemu: bool = True
    accelerator: str = "tcg"

    def program(self, name: str) -> str:
        if not self.qemu:
            raise MachineLacks(f"program {name!r} is not installed; install it with: apt-get install qemu-system-x86")
        return f"/usr/bin/{name}"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Built:
    """A machine that has all; nothing is looked for on this one."""
    config = tmp_path / "config"
    config.write_text("".join(f"CONFIG_{name}=y\n" for name in OPTIONS))
    kernel = SimpleNamespace(config=config, image=tmp_path / "bzImage")
    found = Built(kernel)
    monkeypatch.setattr(machine, "program", found.program)
    monkeypatch.setattr(variants.Variant, "find", lambda variant: found.kernel)
    monkeypatch.setattr(variants.Variant, "obtain", lambda variant: kernel)
    monkeypatch.setattr(rootfs_build, "find", lambda arch: object() if found.rootfs else None)
    monkeypatch.setattr(accel, "detect", lambda image: Accelerator(found.accelerator, ""))
    monkeypatch.setattr(machine, "package_trees", tuple)
    return found


def _workload(**other: Any) -> Any:
    area = {"size": "1 MiB", **other.pop("area", {})}
    phase = {"duration": "1s", "access": [{"area": "heap", "rate": 10}], **other.pop("phase", {})}
    return parse_workload({"areas": {"heap": area}, "phases": [phase], **other}, "test")


def test_memory_and_swap_are_those_of_the_workload(built: Built) -> None:
    workload = _workload(machine={"memory": "768 MiB", "swap": [{"size": "64 MiB"}, {"size": "32 MiB"}]})
    config = machine.prepare(GuestEngine("host"), workload, ["damon_reclaim"])
    assert (config.memory_bytes, config.icount, config.snapshot) == (768 << 20, machine.COUNTED, True)
    assert config.skip_idle, "only what is executed takes time"
    assert config.swap_device is not None
    assert (config.swap_device.kind, config.swap_device.size) == ("zram", 96 << 20)
    assert config.env == {"PYTHONPATH": staging.PLACE}


def test_a_pace_and_files_in_memory_are_asked_for(built: Built) -> None:
    config = machine.prepare(GuestEngine("host"), _workload(area={"kind": "file"}), [], files=True, icount=0)
    assert (config.cpus, config.icount, config.skip_idle) == (1, 0, False)
    assert machine.prepare(GuestEngine("host"), _workload(), []).cpus == machine.CPUS


def test_where_a_processor_is_real_its_time_is(built: Built) -> None:
    built.accelerator = "kvm"
    config = machine.prepare(GuestEngine("pydamon"), _workload(machine={"swap": "none"}), [], icount=0)
    assert (config.icount, config.skip_idle, config.swap) == (None, False, None)


@pytest.mark.parametrize(
    ("changed", "engine", "said"),
    [
        ({"kernel": None}, "host", "the kernel page-idle is not built; build it: vmtest build kernel page-idle"),
        ({"rootfs": False}, "host", "root file system is not built; build it: vmtest build image"),
        ({"qemu": False}, "host", "qemu-system"),
    ],
)
def test_what_is_missing_here_is_named_with_its_remedy(
    changed: dict[str, Any], engine: str, said: str, built: Built
) -> None:
    vars(built).update(changed)
    with pytest.raises(MissingCapability, match=re.escape(said)) as refused:
        machine.prepare(GuestEngine(engine), _workload(), ["damon_reclaim"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("engine", "lacks", "named"),
    [
        ("pydamon", "IDLE_PAGE_TRACKING", True),
        ("pydamon", "DAMON_SYSFS", False),
        ("host", "DAMON_SYSFS", True),
        ("host", "DAMON_RECLAIM", True),
        ("host", "IDLE_PAGE_TRACKING", False),
    ],
)
def test_a_kernel_must_have_what_the_engine_uses(engine: str, lacks: str, named: bool, built: Built) -> None:
    assert built.kernel is not None
    built.kernel.config.write_text("".join(f"CONFIG_{name}=y\n" for name in OPTIONS if name != lacks))

    def prepare() -> None:
        machine.prepare(GuestEngine(engine), _workload(), ["damon_reclaim"])

    if not named:
        prepare()
        return
    with pytest.raises(MissingCapability, match=f"the kernel page-idle has no CONFIG_{lacks}; name another one"):
        prepare()


def _several() -> Any:
    """Areas in two cgroups."""
    found = _workload(area={"memcg": "web"})
    return replace(found, areas=(*found.areas, replace(found.areas[0], name="more", memcg="")))


def test_the_cgroup_of_a_workload_is_made_with_its_limits(built: Built) -> None:
    boxed = _workload(area={"memcg": "box/in"})
    assert machine.prepare(GuestEngine("host"), boxed, []).cgroups == ("box:", "box/in:")
    limited = replace(boxed, cgroups=(Cgroup("box", max=64 << 20), Cgroup("box/in", high=4096, swap_max=0)))
    config = machine.prepare(GuestEngine("host"), limited, [])
    assert config.cgroup_list[0].files[3] == ("memory.max", str(64 << 20))
    assert dict(config.cgroup_list[1].files) == {
        "memory.min": "0", "memory.low": "0", "memory.high": "4096", "memory.max": "max", "memory.swap.max": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("workload", "what"),
    [
        (_workload(machine={"nodes": [{"size": "512 MiB"}, {"size": "512 MiB"}]}), "machine.nodes"),
        (_workload(machine={"thp": "always"}), "machine.thp"),
        (_workload(phase={"online": [{"size": "2 MiB"}]}), "online, offline"),
        (_several(), "memcg"),
        (_workload(area={"kind": "file"}), "kind: file"),
    ],
)
def test_a_workload_that_a_guest_would_not_perform_alike_is_refused(workload: Any, what: str, built: Built) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"guest:host: workload test: {what}")):
        machine.prepare(GuestEngine("host"), workload, [])


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("guest:host", GuestEngine("host")),
        ("guest:pydamon@page-idle-no-damon", GuestEngine("pydamon", "page-idle-no-damon")),
        ("guest:host@/a@b", GuestEngine("host", "/a@b")),
        ("pydamon", None),
        ("kernel:/a", None),
    ],
)
def test_engines_in_guests_are_written_so(text: str, engine: GuestEngine | None) -> None:
    found = GuestEngine.parse(text)
    assert found == engine
    assert found is None or str(found) == text


@pytest.mark.parametrize("text", ["guest:", "guest:host@", "guest:linux-source-7.3", "guest:@page-idle", "guest:Host"])
def test_others_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is unknown in a guest; give guest:pydamon"):
        GuestEngine.parse(text)


def test_a_guest_has_the_whole_package_and_each_file_once() -> None:
    """Also where directories of the package are links, as in a checkout."""
    trees = staging.package_trees()
    sources = [tree for tree in trees if tree.exclude]
    beside = {tree.guest.removeprefix("/opt/pydamon/damon") for tree in sources}
    assert beside in ({""}, {"", "/modules", "/workload/shipped"})
    assert all(not tree.host.is_symlink() for tree in sources)


def test_byte_code_is_of_the_sources_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(staging, "BYTE_CODE", importlib.util.MAGIC_NUMBER)
    root = tmp_path / "root"
    root.mkdir()
    source = root / "one.py"
    source.write_text("ONE = 1\n")
    (tree,) = staging.byte_code(root, "/opt/root", ["*.py"])
    (compiled,) = tree.host.rglob("*.pyc")
    before = compiled.read_bytes()
    assert b"/opt/root/one.py" in before
    staging.byte_code(root, "/opt/root", ["*.py"])
    assert compiled.read_bytes() == before
    source.write_text("ONE = 'changed'\n")
    staging.byte_code(root, "/opt/root", ["*.py"])
    assert b"changed" in compiled.read_bytes()


def test_byte_code_of_another_python_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "BYTE_CODE", b"none")
    assert staging.byte_code(tmp_path, "/opt/root", ["*.py"]) == ()
