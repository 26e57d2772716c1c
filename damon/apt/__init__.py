# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages of any suite, without root and without a change to the host's own apt.

``vmtest/apt`` is a link to this directory, as neither package imports the other.
"""

from .archive import Offer, Package, cached, download, fetch_package, installed_version, newest, offers

__all__ = ["Offer", "Package", "cached", "download", "fetch_package", "installed_version", "newest", "offers"]
