# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree's own tests in a guest: kselftest collections and KUnit.

``collection`` builds a selftest directory and lists what is in it, ``execute`` runs its tests one by one in a guest,
``kunit`` boots a kernel that tests itself, ``forms`` writes the results as KTAP, JSON and JUnit XML.
"""
