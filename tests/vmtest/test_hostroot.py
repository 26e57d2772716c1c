# SPDX-License-Identifier: GPL-2.0-only
"""A directory of the host as a guest's root, without a guest: what is refused, what is hidden, and QEMU's arguments."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.vmtest.suite_fakes import Heard, job
from vmtest import GuestConfig
from vmtest.errors import InvalidInput, MachineLacks
from vmtest.host import root as hostroot
from vmtest.images import rootfs_build
from vmtest.qemu import command_line
from vmtest.results import manifest
from vmtest.results.job import Job
from vmtest.ssh import seed
from vmtest.suite import expand, kernels, load


def _program(number: int = 62, order: bytes = b"\x01") -> bytes:
    return b"\x7fELF\x02" + order + bytes(12) + number.to_bytes(2, "little" if order == b"\x01" else "big") + bytes(44)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Just enough of a root file system."""
    made = tmp_path / "debian"
    (made / "usr/bin").mkdir(parents=True)
    (made / "bin").symlink_to("usr/bin")
    (made / "bin/sh").symlink_to("/bin/dash")
    (made / "bin/dash").write_bytes(_program())
    return made


# What is one, and what is not.


def test_the_host_and_directories(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert GuestConfig(root="host").root == GuestConfig(rootfs="host").root == GuestConfig(root="/").root == "host"
    monkeypatch.chdir(root.parent)
    for config in (GuestConfig(root="debian"), GuestConfig(rootfs="debian"), GuestConfig(rootfs=Path("debian"))):
        assert (config.root, config.image) == (str(root), None)
    assert GuestConfig().root is None
    with pytest.raises(InvalidInput, match="rootfs: 'host': root 'debian' excludes it; give one"):
        GuestConfig(rootfs="host", root="debian")


def test_links_are_followed_as_inside(root: Path) -> None:
    (root / "usr/up").symlink_to("../../../../etc")
    (root / "etc").mkdir()
    (root / "loop").symlink_to("/loop")
    assert hostroot.inside(root, "bin/sh") == root / "usr/bin/dash"
    assert hostroot.inside(root, "usr/up") == root / "etc"
    assert hostroot.inside(root, "loop") is None
    assert hostroot.inside(root, "usr/none") is None


def test_refused_in_one_line(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(path: Path | str) -> str:
        with pytest.raises(InvalidInput) as caught:
            GuestConfig(root=str(path))
        assert len(str(caught.value).splitlines()) == 1
        assert repr(str(path)) in str(caught.value)
        return str(caught.value)

    assert "root: '/no/such': is not a directory; give 'host' or" in refusal("/no/such")
    assert "root: '/etc/passwd': is not a directory" in refusal("/etc/passwd")
    assert "has no /usr, so it is not a root" in refusal(tmp_path)
    (root / "bin/dash").write_bytes(_program(183))
    assert "its /bin/sh is for aarch64, the guest is x86_64" in refusal(root)
    (root / "bin/dash").write_bytes(_program(21, b"\x02"))
    assert "is for ppc64" in refusal(root)
    (root / "bin/dash").write_text("#!/bin/busybox sh\n")
    assert "its /bin/sh is not a program" in refusal(root)
    (root / "bin/dash").unlink()
    assert "has no /bin/sh" in refusal(root)
    (root / "bin/dash").write_bytes(_program())
    monkeypatch.setattr("tempfile.tempdir", str(root))
    assert "is the directory for temporary files; set TMPDIR" in refusal(root)


def test_a_kernel_without_9p_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    hostroot.check_kernel("host", "mine", image)  # nothing is known of it
    config = tmp_path / "config"
    config.write_text("CONFIG_NET_9P=y\nCONFIG_NET_9P_VIRTIO=y\n# CONFIG_9P_FS is not set\n")
    with pytest.raises(InvalidInput, match="root: 'host': needs a kernel with 9p, and 'mine' lacks CONFIG_9P_FS; take"):
        hostroot.check_kernel("host", "mine", image)
    config.write_text("CONFIG_NET_9P=m\nCONFIG_NET_9P_VIRTIO=m\nCONFIG_9P_FS=m\n")
    with pytest.raises(InvalidInput, match="lacks CONFIG_NET_9P, CONFIG_NET_9P_VIRTIO, CONFIG_9P_FS; take"):
        hostroot.check_kernel("host", "mine", image)  # no program would load the modules
    (tmp_path / "initrd").touch()
    hostroot.check_kernel("host", "mine", image)


def test_a_qemu_without_9p_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, devices in (("with", 'name "virtio-9p-pci", bus PCI'), ("without", 'name "virtio-blk-pci", bus PCI')):
        (tmp_path / name).write_text(f"#!/bin/sh\n[ \"$*\" = '-device help' ] && echo '{devices}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(hostroot, "program", lambda name: str(tmp_path / name))
    hostroot.check_qemu("with")
    with pytest.raises(MachineLacks, match=r"^QEMU: .*without: has no 9p \(virtio-9p-pci\)"):
        hostroot.check_qemu("without")


# What the guest is given.


def test_qemu_may_not_write(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = root.rename(root.with_name("a,b"))
    monkeypatch.setattr(command_line, "program", lambda name: name)
    parts = command_line.Parts(Path("/k/bzImage"), Path("/i/root"), Path("/r/seed.tar"), None, 5, 7, "tcg")
    words = command_line.build(GuestConfig(root=str(place)), parts)
    (share,) = (word for word in words if word.startswith("local,"))
    assert f"path={place.parent}/a,,b,security_model=none,readonly=on,multidevs=remap" in share
    assert "vmtest.root=host" in words[words.index("-append") + 1].split()
    assert "file=/i/root,format=raw,if=none,id=disk0,readonly=on" in words, "the image still starts the guest"
    plain = command_line.build(GuestConfig(), parts)
    assert not any("9p" in word or "vmtest.root" in word for word in plain)


def test_keys_of_guests_are_covered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = root / "var/my *tmp\\x"
    odd.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    assert hostroot.covers(str(root)) == ("/var/my *tmp\\x",)
    script = seed.settings(GuestConfig(root=str(root))) + 'for one in $COVERS; do printf "%b|" "$one"; done'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "/var/my *tmp\\x|"
    monkeypatch.setattr("tempfile.tempdir", str(root.parent))
    assert hostroot.covers(str(root)) == ()
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert "/tmp" not in hostroot.covers("host"), "always the guest's own"


def test_a_home_that_qemu_may_not_read_is_covered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "root").mkdir()
    assert hostroot.covers(str(root)) == ()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != root / "root")
    assert hostroot.covers(str(root)) == ("/root",)


def test_settings_without_a_root_are_as_before() -> None:
    assert "COVERS" not in seed.settings(GuestConfig())


# What a command line adds.


def test_commands_start_where_their_caller_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr/lib")
    assert hostroot.working_directory("host") == "/usr/lib"
    assert hostroot.working_directory("host", "../bin") == "/usr/lib/../bin"
    assert hostroot.working_directory("host", "/etc") == "/etc"
    assert hostroot.working_directory(None) is hostroot.working_directory(str(root)) is None
    assert hostroot.working_directory(None, "/etc") == "/etc"
    monkeypatch.setattr("tempfile.tempdir", "/usr/lib")
    assert hostroot.working_directory("host") is None
    monkeypatch.chdir("/tmp")
    assert (hostroot.working_directory("host"), hostroot.hidden("/tmp/x"), hostroot.hidden("/usr/bin")) == (
        None,
        "/tmp",
        "",
    )


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InvalidInput, match=r"^working directory: gone: "):
        hostroot.working_directory("host")


def test_path_and_shell_are_the_callers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/home/me/bin:/usr/bin:/sbin")
    assert hostroot.environment("host") == {"PATH": "/home/me/bin:/usr/bin:/sbin:/usr/local/sbin:/usr/sbin"}
    assert hostroot.environment(None) == hostroot.environment(str(root)) == {}
    assert hostroot.shell("host", {"SHELL": "/usr/bin/env"}) == ["/usr/bin/env"]
    assert hostroot.shell("host", {"SHELL": "/no/fish"}) == hostroot.shell("host", {}) == ["sh"]
    assert hostroot.shell(None, {"SHELL": "/usr/bin/env"}) == hostroot.shell(str(root), {})


@pytest.mark.parametrize("bash", [True, False])
def test_a_guests_own_shell_is_bash_or_has_a_prompt_that_tells_where_one_is(bash: bool, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", *(("bash",) if bash else ())):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$*" "$PS1"\n')
        (tools / name).chmod(0o755)
    (tools / "hostname").write_text("#!/bin/sh\necho box\n")
    (tools / "hostname").chmod(0o755)
    # Not this machine's profile, which sets another PATH.
    shell, *words = (word.replace("/etc/profile", "/no/profile") for word in hostroot.shell(None, {}))
    done = subprocess.run(
        [f"/bin/{shell}", *words], env={"PATH": str(tools), "PS1": "# "}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ("bash -l #" if bash else "sh -i root@box:$PWD#"), done


# Suites.


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernel and image as if they were built, and a QEMU that has everything."""
    for name in ("bzImage", "root.squashfs"):
        (tmp_path / name).write_text(f"hsqs, as a {name} begins")
    (tmp_path / "config").write_text("CONFIG_NET_9P=y\nCONFIG_NET_9P_VIRTIO=y\nCONFIG_9P_FS=y\n")
    monkeypatch.setattr(rootfs_build, "obtain", lambda _arch: rootfs_build.Rootfs(tmp_path))
    monkeypatch.setattr(hostroot, "check_qemu", lambda _qemu: None)
    return tmp_path


def _jobs(directory: Path, text: str) -> list[Job]:
    suite = load.parse(f"name: s\nkernels: {{k: {{image: bzImage}}}}\ntests: {{t: 'true'}}\n{text}")
    return kernels.complete(suite, expand.expand(suite), directory)


def test_suites_have_roots(built: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    monkeypatch.setenv("PATH", "/usr/bin:/usr/local/sbin:/usr/sbin:/sbin")
    (one,) = _jobs(built, "rootfs: host")
    assert (one.config.root, one.config.image) == ("host", built / "root.squashfs")
    assert (one.cwd, one.env) == ("/usr", {"PATH": os.environ["PATH"]}), "a rerun does the same from anywhere"
    (one,) = _jobs(built, "rootfs: debian\nenv: {PATH: /bin}")
    assert (one.config.root, one.cwd, one.env) == (str(root), None, {"PATH": "/bin"})
    (one,) = _jobs(built, "rootfs: root.squashfs")
    assert (one.config.root, one.config.image) == (None, built / "root.squashfs")
    plain, rooted = _jobs(built, "machines: {image: {}, host: {root: host}}")
    assert (plain.config.root, rooted.config.root) == (None, "host")
    monkeypatch.chdir("/")
    manifest.check_files(rooted)


def test_suites_refuse_before_anything_boots(built: Path) -> None:
    with pytest.raises(InvalidInput, match=r"k/default/none/t: root: '.*/no/such': "):
        _jobs(built, "machines: {default: {root: no/such}}")
    (built / "config").write_text("CONFIG_NET=y\n")
    with pytest.raises(InvalidInput, match="k/default/none/t: root: 'host': needs a kernel with 9p, and 'k' lacks"):
        _jobs(built, "rootfs: host")


def test_a_root_does_not_travel(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    from vmtest.cluster.client import cluster_runner

    run = cluster_runner("tcp://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="root: 'host': is a directory of this host"):
        run([job(tmp_path, machine_args={"root": "host"})], tmp_path, Heard())
