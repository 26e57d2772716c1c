# SPDX-License-Identifier: GPL-2.0-only
"""The best possible reclaim of a workload, against which runs are held (docs/explanation/best-reclaim.md)."""

from damon.results.best.curve import Best, best_reclaim
from damon.results.best.run import held_against_best, sentence

__all__ = ["Best", "best_reclaim", "held_against_best", "sentence"]
