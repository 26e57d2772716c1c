# SPDX-License-Identifier: GPL-2.0-only
"""Runs a command a line of standard input (a JSON list of words), one after the other; answers each with a JSON line.

``python3 calls.py [DIRECTORY]``: with the directory that has the package ``damo``, that program runs in a child of this
process, which has its modules imported already.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from typing import Any

DAMO: Any = None
if sys.argv[1:]:
    sys.path.insert(0, sys.argv[1])
    DAMO = importlib.import_module("damo.damo")


def _damo(words: list[str]) -> int:
    sys.argv = words
    try:
        DAMO.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _run(words: list[str], out: int, errors: int) -> int:
    """Its exit code, as :mod:`subprocess` has it."""
    if DAMO is None or words[0] != "damo":
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, check=False).returncode
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(errors, 2)
            code = _damo(words)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


for line in sys.stdin:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        answer: dict[str, Any] = {"code": _run(json.loads(line), out.fileno(), errors.fileno())}
        for name, stream in (("text", out), ("errors", errors)):
            stream.seek(0)
            answer[name] = stream.read()
        print(json.dumps(answer), flush=True)
