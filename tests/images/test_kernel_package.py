# SPDX-License-Identifier: GPL-2.0-only
"""A packaged kernel: which modules its initramfs loads and in what order, and what is no kernel package."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest

from vmtest import cache, cli
from vmtest.errors import BuildFailed, InvalidInput, MachineLacks
from vmtest.images import initramfs, kernel_package, variants
from vmtest.images.arch import X86_64


def _modules(directory: Path, **depends: str) -> Path:
    (directory / "kernel").mkdir(parents=True)
    for name, others in depends.items():
        data = b"ELF\0license=GPL\0depends=%s\0name=%s\0" % (others.encode(), name.encode())
        (directory / f"kernel/{name.replace('_', '-')}.ko.xz").write_bytes(lzma.compress(data))
    (directory / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\nkernel/fs/overlayfs/overlay.ko\n")
    return directory


def test_modules_come_after_those_that_they_depend_on(tmp_path: Path) -> None:
    directory = _modules(
        tmp_path,
        virtio_blk="",
        failover="",
        net_failover="failover",
        virtio_net="net_failover",
        squashfs="",
        zram="lz4-compress,zsmalloc",
        zsmalloc="",
        lz4_compress="",
        unrelated="",
    )
    names = [name for name, _ in initramfs.choose(directory)]
    order = ["virtio_blk", "failover", "net_failover", "virtio_net", "squashfs", "lz4_compress", "zsmalloc", "zram"]
    assert names == order


def test_a_kernel_without_a_needed_driver_is_refused(tmp_path: Path) -> None:
    directory = _modules(tmp_path / "6.9", virtio_blk="", virtio_net="")
    with pytest.raises(BuildFailed, match=r"^kernel: 6\.9: has no squashfs"):
        initramfs.choose(directory)


def test_the_archive_is_one() -> None:
    data = initramfs.archive(b"\x7fELF busybox", [("a", b"x" * 5), ("b", b"")])
    names, at = [], 0
    while True:
        fields = [int(data[at + 6 + 8 * number : at + 14 + 8 * number], 16) for number in range(13)]
        size, length = fields[6], fields[11]
        assert data[at : at + 6] == b"070701"
        name = data[at + 110 : at + 110 + length - 1].decode()
        start = (at + 110 + length + 3) // 4 * 4
        if name == "modules/00-a.ko":
            assert data[start : start + size] == b"xxxxx"
        names.append(name)
        at = (start + size + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
    assert at == len(data)
    assert names[-4:] == ["init", "modules/00-a.ko", "modules/01-b.ko", "TRAILER!!!"]


def test_metapackages_lead_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {
        "linux-image-cloud": "Version: 2\nInstalled-Size: 12\nDepends: linux-image-6.9-1 (= 2)\n",
        "linux-image-6.9-1": "Version: 2\nInstalled-Size: 90000\nDepends: kmod\n",
    }

    def show(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        text = shown.get(words[-1], "")
        return subprocess.CompletedProcess(words, 0 if text else 100, text, "")

    monkeypatch.setattr(kernel_package, "program", lambda name: name)
    monkeypatch.setattr(subprocess, "run", show)
    assert kernel_package._resolve("linux-image-cloud") == ("linux-image-6.9-1", "2")
    with pytest.raises(MachineLacks, match="kernel package: 'linux-image-none': is not known to apt"):
        kernel_package._resolve("linux-image-none")


def test_apt_is_only_asked_about_a_kernel_that_was_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[str] = []

    def resolve(name: str) -> tuple[str, str]:
        asked.append(name)
        return name, "2"

    monkeypatch.setattr(kernel_package, "_resolve", resolve)
    assert kernel_package.find("linux-image-cloud") is None
    key, _, _ = kernel_package._key("linux-image-cloud")
    asked.clear()
    directory = cache.obtain("kernel", key, "label", lambda *_: None, {"package": "linux-image-cloud"})
    assert kernel_package.find("linux-image-other") is None
    assert asked == []
    found = kernel_package.find("linux-image-cloud")
    assert found is not None
    assert (found.image.parent, asked) == (directory, ["linux-image-cloud"])


def test_what_is_no_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kernel_package.is_package("x/y.deb")
    assert not kernel_package.is_package("page-idle")
    with pytest.raises(InvalidInput, match="cannot be read"):
        kernel_package.find("/no/kernel.deb")
    assert cli.main(["exec", "--kernel", "/no/kernel.deb", "--", "true"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_shipped_variant_is_a_package() -> None:
    assert kernel_package.is_package(variants.variant("stock").package)


def test_links_in_a_package_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    boot = tmp_path / "unpacked/boot"
    boot.mkdir(parents=True)
    (boot / "vmlinuz-6.9").symlink_to(secret)
    with pytest.raises(BuildFailed, match=r"^kernel package: boot/vmlinuz-\*: "):
        kernel_package._take(tmp_path, X86_64, tmp_path / "rootfs")
    for name in ("vmlinuz", "config", "System.map"):
        (boot / f"{name}-6.9").unlink(missing_ok=True)
        (boot / f"{name}-6.9").write_text("x")
    (tmp_path / "unpacked/lib").mkdir()
    (tmp_path / "unpacked/lib/modules").symlink_to(tmp_path)
    (tmp_path / "6.9").mkdir()
    with pytest.raises(BuildFailed, match=r"^kernel package: 6\.9: it has no modules"):
        kernel_package._take(tmp_path, X86_64, tmp_path / "rootfs")
