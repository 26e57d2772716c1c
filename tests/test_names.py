# SPDX-License-Identifier: GPL-2.0-only
"""Names that are loaded when they are used: each is in the module that the package names."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import damon
import damon.core
import damon.library
import vmtest

PACKAGES = [damon, damon.core, damon.library, vmtest]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_each_public_name_is_there(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


#: In a process of its own: what is imported stays.
EACH = """
import importlib, pkgutil
import damon, vmtest
for package in (damon, vmtest):
    names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    assert len(names) > 100
    for name in names:
        if not name.endswith(("__main__", ".libdamon")):
            importlib.import_module(name)
"""


def test_each_module_can_be_imported() -> None:
    subprocess.run([sys.executable, "-c", EACH], check=True, stdin=subprocess.DEVNULL)
