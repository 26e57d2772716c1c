# SPDX-License-Identifier: GPL-2.0-only
"""The table of architectures, what is recognised by a file's header, and what follows from it, without a guest."""

from __future__ import annotations

import gzip
import platform
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from vmtest import GuestConfig, cache, steps
from vmtest.cli.main import main
from vmtest.errors import InvalidInput, MachineLacks
from vmtest.images import arch, features, hostpkgs, kconfig, kernel_build, pydeps, rootfs_build, source, variants
from vmtest.progress import Progress
from vmtest.qemu import accel, command_line, machine_type
from vmtest.suite.load import SuiteError, load

ARM64_IMAGE = b"MZ" + b"\0" * 54 + b"ARM\x64" + b"\0" * 1000


def _elf(number: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HH", 2, number) + b"\0" * 100


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "Image"
    path.write_bytes(ARM64_IMAGE)
    return path


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


# What a file is of.


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (ARM64_IMAGE, "arm64"),
        (gzip.compress(ARM64_IMAGE, mtime=0), "arm64"),
        (_elf(183), "arm64"),
        (_elf(62), "x86_64"),
        (b"\xea\x05" + b"\0" * 0x200 + b"HdrS", "x86_64"),
        (gzip.compress(b"no kernel", mtime=0), "x86_64"),
        (gzip.compress(ARM64_IMAGE, mtime=0)[:15], "x86_64"),
        (b"\x1f\x8bno archive at all", "x86_64"),
        (b"\0" * 55 + b"ARM\x64", "x86_64"),
        (b"ARM\x64", "x86_64"),
    ],
)
def test_a_kernel_is_recognised_by_its_header(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    assert arch.of_image(path).name == found
    assert GuestConfig(kernel=path).arch.name == found


def test_programs_of_others_are_of_none() -> None:
    assert arch.of_program(_elf(183)) is arch.ARM64
    assert arch.of_program(_elf(62)) is arch.X86_64
    assert arch.of_program(_elf(243)) is None
    assert arch.of_program(b"\x7fELF") is None
    assert arch.of_program(b"") is None


def test_the_table_has_no_double_and_unknown_names_are_refused() -> None:
    for field in ("name", "machine", "debian", "elf", "qemu", "console", "cross", "image_name"):
        values = [getattr(one, field) for one in arch.ARCHITECTURES.values()]
        assert len(set(values)) == len(values), field
    for one in arch.ARCHITECTURES.values():
        assert arch.of_debian(one.debian) is one
        assert one.qemu in hostpkgs.PROGRAMS
    with pytest.raises(InvalidInput, match=r"architecture: 'riscv': is unknown; give one of x86_64, arm64"):
        arch.named("riscv")
    with pytest.raises(InvalidInput, match="architecture: 's390x': has no guests"):
        arch.of_debian("s390x")


def test_cross_tools_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (arch.X86_64.prefix, arch.X86_64.make_words) == ("", [])
    assert arch.ARM64.prefix == "aarch64-linux-gnu-"
    assert arch.ARM64.make_words == ["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"]
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert (arch.ARM64.prefix, arch.ARM64.make_words) == ("", [])
    assert arch.X86_64.prefix == "x86_64-linux-gnu-"


# What follows for a guest.


def test_command_line_of_an_arm64_guest(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "program", lambda name: f"/usr/bin/{name}")
    config = GuestConfig(kernel=image, cpus=4, numa=2)
    parts = command_line.Parts(
        image, Path("/i/root"), Path("/r/seed.tar"), None, 5, 7, "tcg", machine_type.choose(config)
    )
    words = command_line.build(config, parts)
    assert words[0] == "/usr/bin/qemu-system-aarch64"
    assert words[words.index("-machine") + 1] == "virt,gic-version=3"
    assert words[words.index("-cpu") + 1].startswith("max")
    assert words[words.index("-append") + 1].startswith("console=ttyAMA0 ")
    assert sum(word.startswith("virtio-") for word in words) == 3
    plain = command_line.build(GuestConfig(cpus=4, numa=2), parts)
    assert plain[0] == "/usr/bin/qemu-system-x86_64"
    assert plain[plain.index("-append") + 1].startswith("console=ttyS0 ")
    # The machine type is all that differs.
    assert len(plain) == len(words)


def test_no_kvm_for_another_architecture(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "probe", lambda *_: pytest.fail("nothing is started"))
    assert accel.choose("auto", image).name == "tcg"
    assert "guests of arm64 are emulated on x86_64" in accel.detect(image).reason
    with pytest.raises(MachineLacks, match=r"'kvm' does not work here: guests of arm64 .*; use --accelerator tcg"):
        accel.choose("kvm", image)


def test_what_is_missing_is_named_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    group = "qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
    for name in ("qemu-system-aarch64", "aarch64-linux-gnu-gcc"):
        with pytest.raises(MachineLacks, match=f"{name}': is not installed; install it with: apt-get install {group}$"):
            hostpkgs.program(name)
    with pytest.raises(MachineLacks, match=r"apt-get install qemu-system-x86$"):
        hostpkgs.program("qemu-system-x86_64")


@pytest.mark.parametrize("missing", [True, False])
def test_doctor_names_the_group_and_does_not_fail_for_it(missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmtest import doctor

    gone = {"qemu-system-arm"} if missing else set()
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name in gone else "1")
    (finding,) = [one for one in doctor._packages() if one.what == "for arm64 guests"]
    assert (finding.good, finding.optional) == (not missing, True)
    assert finding.remedy == ("apt-get install qemu-system-arm" if missing else "")


# What is built.


def test_the_variant_is_page_idle_with_the_fragments_of_arm64() -> None:
    mine, theirs = variants.variant("page-idle-arm64"), variants.variant("page-idle")
    assert (mine.arch, theirs.arch) == (arch.ARM64, arch.X86_64)
    assert GuestConfig(kernel="page-idle-arm64").arch is arch.ARM64
    recipe, shared = mine.recipe(), theirs.recipe().fragments
    assert recipe.fragments[: len(shared)] == shared
    assert [path.parent.name for path in recipe.fragments[len(shared) :]] == ["arm64"]
    assert recipe == kernel_build.shipped(arch.ARM64)
    asked = {option.name: option.value for option in kconfig.requested(recipe.fragments)}
    assert asked["CONFIG_ARM64_HW_AFDBM"] == asked["CONFIG_IDLE_PAGE_TRACKING"] == asked["CONFIG_DAMON_PADDR"] == "y"
    assert not [name for name, value in asked.items() if value and "X86" in name]


def test_keys_of_x86_64_do_not_know_of_architectures(tmp_path: Path) -> None:
    tree = source.KernelSource("x", "x 1", None)
    fragment = tmp_path / "a.config"
    fragment.write_text("CONFIG_A=y\n")
    of = {one.name: kernel_build.key_of(tree, kernel_build.Recipe((fragment,), arch=one)) for one in _all()}
    parts: dict[str, str | bytes] = {
        "recipe": kernel_build.RECIPE,
        "source": "x 1",
        "fragment a.config": "CONFIG_A=y\n",
    }
    assert of["x86_64"] == cache.content_key(parts) != of["arm64"]
    assert rootfs_build.key() == rootfs_build.key(arch.X86_64) != rootfs_build.key(arch.ARM64)


def _all() -> list[arch.Architecture]:
    return list(arch.ARCHITECTURES.values())


def test_of_two_fragments_the_last_counts(tmp_path: Path) -> None:
    first, last = tmp_path / "1.config", tmp_path / "2.config"
    first.write_text("CONFIG_A=y\nCONFIG_B=y\n")
    last.write_text("# CONFIG_A is not set\n")
    asked = kconfig.requested([first, last])
    assert [str(option) for option in kconfig.dropped(asked, "CONFIG_B=y\n")] == []
    assert [str(option) for option in kconfig.dropped(asked, "CONFIG_A=y\n")] == ["CONFIG_A not set", "CONFIG_B=y"]


def test_scripts_of_a_foreign_image_parse_and_no_package_script_runs(tmp_path: Path) -> None:
    for name in ("setup", "finish"):
        subprocess.run(["sh", "-n", rootfs_build.FOREIGN / name], check=True)
    words = rootfs_build._unpacking(tmp_path / "files.tar")
    assert "--variant=extract" in words
    assert not [word for word in words if "chroot" in word or "--customize-hook" in word], "extract runs neither"


def test_wheels_are_the_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(steps, "run", lambda words, *_: ran.append(words))
    pydeps.install(tmp_path, tmp_path / "log", Progress("wheels"), arch.ARM64)
    platforms = [word for before, word in zip(ran[0], ran[0][1:], strict=False) if before == "--platform"]
    assert platforms
    assert all(word.endswith("_aarch64") for word in platforms)


def test_an_image_of_another_architecture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "root"
    path.write_bytes(b"hsqs....")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/usr/bin/unsquashfs")
    said = subprocess.CompletedProcess([], 0, _elf(62), b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    rootfs_build.check_image(path, arch.X86_64)
    with pytest.raises(InvalidInput, match=r"root': is of x86_64, the kernel of arm64; give another, or leave it out"):
        rootfs_build.check_image(path, arch.ARM64)
    said.stdout = b""
    rootfs_build.check_image(path, arch.ARM64)


# What a configuration is good for.


def test_features_are_those_of_the_configurations_architecture() -> None:
    boot = features.feature("boot")
    common = {need.names[0]: "y" for need in boot.needs if not need.arch}
    arm = {**common, **{need.names[0]: "y" for need in boot.needs if need.arch == "arm64"}, "CONFIG_ARM64": "y"}
    assert boot.missing(arm) == []
    assert [str(need) for need in boot.missing({**common, "CONFIG_X86_64": "y"})] == [
        "x86_64: CONFIG_SERIAL_8250_CONSOLE=y",
        "x86_64: CONFIG_ACPI=y",
    ]
    accessed = features.feature("hardware-accessed")
    assert accessed.missing({"CONFIG_MMU": "y"}) == []
    assert [str(need) for need in accessed.missing({"CONFIG_MMU": "y", "CONFIG_ARM64": "y"})] == [
        "arm64: CONFIG_ARM64_HW_AFDBM=y"
    ]


# What is asked for in a wrong way.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exec", "--arch", "arm64", "--", "true"], "--arch: arm64: belongs to --kernel-tree"),
        (["exec", "--arch", "arm64", "--kernel", "page-idle", "--", "true"], "--arch: arm64: belongs to --kernel-tree"),
        (["build", "kernel", "page-idle", "--arch", "arm64"], "--arch: arm64: belongs to --kernel-tree"),
        (["kunit", "--arch", "arm64", "--kernel-tree", "."], "--arch: arm64: the kunit kernel is built for x86_64"),
    ],
)
def test_arch_is_for_trees(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_suite_has_kernels_of_both(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(
        "name: s\nkernels:\n  page-idle:\n  page-idle-arm64:\n  t: {tree: /k, arch: arm64}\ntests: {t: x}\n"
    )
    assert load(path).kernels["t"].arch == "arm64"
    path.write_text("name: s\nkernels:\n  page-idle: {arch: arm64}\n  t: {tree: /k, arch: mips}\ntests: {t: x}\n")
    with pytest.raises(SuiteError) as caught:
        load(path)
    first, second = str(caught.value).splitlines()
    assert first.endswith("kernels.page-idle: 'arch' is for a tree; a variant and an image have theirs, leave it out")
    assert ":4:23: kernels.t.arch: architecture: 'mips': is unknown; give one of x86_64, arm64" in second
