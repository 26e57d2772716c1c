# SPDX-License-Identifier: GPL-2.0-only
"""A suite over many machines: Dask distributed carries jobs to workers and results back.

``client`` spreads jobs and sends workers what they lack, ``worker`` is what runs there, ``store`` keeps files by the
hash of their content, once on each worker.
"""
