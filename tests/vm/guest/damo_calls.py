# SPDX-License-Identifier: GPL-2.0-only
"""Runs damo once a line of standard input (a JSON list of its arguments), in a child process; answers with a JSON line.

``python3 damo_calls.py FOLDER``, the folder that has the package ``damo``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback

sys.path.insert(0, sys.argv[1])
from damo.damo import main


def _child(words: list[str], out: int, errors: int) -> int:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(errors, 2)
    sys.argv = ["damo", *words]
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = _child(json.loads(line), out.fileno(), errors.fileno())
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for stream in (out, errors):
            stream.seek(0)
            texts.append(stream.read())
        print(json.dumps({"code": code, "text": texts[0], "errors": texts[1]}), flush=True)
