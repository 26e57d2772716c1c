# SPDX-License-Identifier: GPL-2.0-only
"""``python -m vmtest.cli``."""

import sys

from .main import main

sys.exit(main())
