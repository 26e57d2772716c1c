# SPDX-License-Identifier: GPL-2.0-only
"""The version of the distribution."""

from typing import Final

#: pyproject.toml reads it here.
__version__: Final = "0.2.0"
