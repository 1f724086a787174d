"""What a report says about the software that made it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("contextrl", "torch", "transformers", "tokenizers", "gymnasium", "pydantic", "sqlalchemy")


def versions() -> dict[str, str]:
    """Name -> version of Python, the system and the packages that decide a result."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
