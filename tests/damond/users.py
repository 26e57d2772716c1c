# SPDX-License-Identifier: GPL-2.0-only
"""Two unprivileged users on a machine of their own: mounts with an empty /tmp, and processes that end with the test."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.waiting import HANG_S

VICTIM, OTHER = 12345, 65534
#: Why these tests cannot run here; empty: they can.
PROBLEM = (
    "it takes root to be two other users"
    if os.geteuid()
    else "".join(
        f"there is no {name} here; " for name in ("unshare", "setpriv", "fusermount3") if shutil.which(name) is None
    )
)
_REPOSITORY = Path(__file__).parents[2]
_SITE = next(path for path in sys.path if path.endswith("site-packages"))
#: ``victim`` and ``other`` run a command as that user; ``$victim COMMAND &`` leaves its number in ``$!``. The
#: interpreter may lie where only root can go.
_ARRANGE = f"""
set -e
mount -t tmpfs -o mode=1777 none /tmp
for part in repo base site; do mkdir -m 755 /tmp/$part; done
mount --bind {shlex.quote(str(_REPOSITORY))} /tmp/repo
mount --bind {shlex.quote(sys.base_prefix)} /tmp/base
mount --bind {shlex.quote(_SITE)} /tmp/site
mkdir -p /tmp/device && mknod -m 666 /tmp/device/fuse c 10 229 && mount --bind /tmp/device/fuse /dev/fuse
mount -t fusectl none /sys/fs/fuse/connections
(cat /etc/passwd; echo victim:x:{VICTIM}:{VICTIM}::/:/bin/sh) >/tmp/device/passwd  # fusermount3 wants a name
mount --bind /tmp/device/passwd /etc/passwd
serves() {{ until grep -q 'mounted at' $2; do kill -0 $1 || return 1; sleep 0.05; done; }}  # process $1, with log $2
cd /tmp
python=/tmp/base/bin/python{sys.version_info.major}.{sys.version_info.minor}
environment="env -i PATH=$PATH LANG=C.UTF-8 LD_LIBRARY_PATH=/tmp/base/lib PYTHONPATH=/tmp/repo:/tmp/site \\
  PYTHONDONTWRITEBYTECODE=1"
victim="setpriv --reuid {VICTIM} --regid {VICTIM} --clear-groups $environment"
other="setpriv --reuid {OTHER} --regid {OTHER} --clear-groups $environment"
victim() {{ $victim "$@"; }}
other() {{ $other "$@"; }}
damond="$python -m damon.cli.damond --sim /tmp/repo/workloads/hot-cold.yaml"
damon="$python -m damon.cli.main"
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """``script``, of sh, on such a machine; everything of it is gone afterwards."""
    words = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run(
        [*words, "--", "sh", "-c", _ARRANGE + script], capture_output=True, text=True, timeout=HANG_S, check=False
    )
