# SPDX-License-Identifier: GPL-2.0-only
"""How far monitors are from the truth: ``run.py`` runs a command in a guest with a monitor and the truth beside it,
``compare.py`` compares the two snapshot by snapshot, ``figures.py`` sums that up.
"""
