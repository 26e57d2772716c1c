# SPDX-License-Identifier: GPL-2.0-only
"""Putting the ``perf`` stand-in where a command finds it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_SCRIPT = """\
#!/bin/sh
# DAMON's trace events for tools that call perf; see damon.trace.perf.
exec {python} -P -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from damon.trace.perf import main; \
sys.exit(main(sys.argv[2:], sys.argv[1]))' {root} "$0" "$@"
"""


def install_perf(folder: Path) -> Path:
    """Write the script ``perf`` into ``folder``, which is meant to be first in ``$PATH``; its path.

    It runs with this interpreter and this package, whatever the environment of its caller is, and finds the stream by
    ``$DAMON_TRACE_SOCKET``.
    """
    root = Path(__file__).resolve().parents[2]
    path = folder / "perf"
    path.write_text(_SCRIPT.format(python=shlex.quote(sys.executable), root=shlex.quote(str(root))))
    path.chmod(0o755)
    return path
