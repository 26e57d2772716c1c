# SPDX-License-Identifier: GPL-2.0-only
"""``python -m vmtest.cli``."""

from ..command.process import start
from .main import main

start("vmtest", main)
