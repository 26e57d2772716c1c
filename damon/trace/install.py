# SPDX-License-Identifier: GPL-2.0-only
"""Putting stand-ins for programs where a command finds them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_SCRIPT = """\
#!/bin/sh
# What {module} is for.
exec {python} -P -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from {module} import main; \
sys.exit(main(sys.argv[2:], sys.argv[1]))' {root} "$0" "$@"
"""


def install(directory: Path, name: str, module: str) -> Path:
    """Write the script ``name`` into ``directory``, which is meant to be first in ``$PATH``; its path.

    It runs ``main(argv, path of the script)`` of ``module`` with this interpreter and this package, whatever the
    environment of its caller is.
    """
    root = Path(__file__).resolve().parents[2]
    path = directory / name
    python, where = shlex.quote(sys.executable), shlex.quote(str(root))
    path.write_text(_SCRIPT.format(module=module, python=python, root=where))
    path.chmod(0o755)
    return path


def install_perf(directory: Path) -> Path:
    """A ``perf`` with DAMON's trace events. It finds the stream by ``$DAMON_TRACE_SOCKET``."""
    return install(directory, "perf", "damon.trace.perf")
