# SPDX-License-Identifier: GPL-2.0-only
"""The distribution files, built once a test run, and a fresh environment that has the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def call(*words: str | Path, cwd: Path, env: dict[str, str] | None = None, home: Path | None = None) -> str:
    """What the command prints; its whole output where it fails. ``home``: where pip's children may write."""
    if home is not None:
        env = {**(os.environ if env is None else env), "HOME": str(home)}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean_environment(prefix: Path) -> dict[str, str]:
    """Nothing that leads to the checkout or to this environment."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "DAMON"))
    }
    return kept | {"PATH": f"{prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def install(prefix: Path, what: str | Path, cwd: Path, home: Path | None = None) -> None:
    """By this environment's pip: the new one needs none of its own. Only what is used of it is compiled."""
    pip = [sys.executable, "-m", "pip", f"--python={prefix}/bin/python", "install", "--no-compile"]
    call(*pip, "-q", "--disable-pip-version-check", what, cwd=cwd, env=clean_environment(prefix), home=home)


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the whole test run, not of one xdist worker."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def _build(out: Path) -> None:
    env = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out / "plain", ".", cwd=ROOT, env=env, home=out)
    (wheel,) = (out / "plain").glob("*.whl")
    call(BIN / "auditwheel", "repair", "--wheel-dir", out / "repaired", wheel, cwd=out, env=env, home=out)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that was built from it."""
    out = _shared(tmp_path_factory) / "distributions"
    with FileLock(f"{out}.lock"):
        if not (out / "built").exists():
            _build(out)
            (out / "built").touch()
    (sdist,), (wheel,) = (out / "plain").glob("*.tar.gz"), (out / "repaired").glob("*.whl")
    return sdist, wheel


#: ``$PYTHONS``, space-separated, or the one that runs the tests.
INTERPRETERS = os.environ.get("PYTHONS", "").split() or [sys.executable]


@pytest.fixture(scope="module", params=INTERPRETERS, ids=lambda path: Path(path).name)
def fresh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, distributions: tuple[Path, Path]
) -> Path:
    """The prefix of a new environment that has the wheel and what it depends on."""
    prefix = tmp_path_factory.mktemp("fresh") / "env"
    call(request.param, "-m", "venv", "--without-pip", prefix, cwd=prefix.parent, home=prefix.parent)
    install(prefix, distributions[1], cwd=prefix.parent, home=prefix.parent)
    return prefix
