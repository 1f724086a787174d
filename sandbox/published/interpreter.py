"""Runs in the base image: its Python and all that this needs in one folder, which works in any image.

Invariant: the folder holds every library that the guest loads, and the loader itself (`ld.so`).
"""

from __future__ import annotations

import ctypes  # noqa: F401 (what the guest and `prepare` import is loaded, so that its libraries are seen)
import json  # noqa: F401
import os
import select  # noqa: F401
import shutil
import socket  # noqa: F401
import struct  # noqa: F401
import subprocess  # noqa: F401
import sys
import sysconfig

HOME = "/opt/contextrl-python"
_LEFT_OUT = (
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "ensurepip",
    "tkinter",
    "turtledemo",
    "pydoc_data",
    "*-packages",
    "config-*",
)


def main() -> None:
    """Make the folder."""
    standard = sysconfig.get_path("stdlib")
    os.makedirs(f"{HOME}/bin")
    shutil.copy(os.path.realpath(sys.executable), f"{HOME}/bin/python3")
    shutil.copytree(
        standard,
        f"{HOME}/lib/{os.path.basename(standard)}",
        ignore=shutil.ignore_patterns(*_LEFT_OUT),
        ignore_dangling_symlinks=True,
    )
    for path in loaded():
        if os.path.basename(path).startswith("ld-"):
            shutil.copy(path, f"{HOME}/ld.so")
        for name in os.listdir(os.path.dirname(path)):  # programs ask for it by the name of a link
            if os.path.realpath(os.path.join(os.path.dirname(path), name)) == path:
                shutil.copy(path, f"{HOME}/lib/{name}")


def loaded() -> set[str]:
    """The shared libraries of this process."""
    with open("/proc/self/maps") as handle:
        paths = {line.split(None, 5)[5].strip() for line in handle if line.count("/") > 1}
    return {os.path.realpath(path) for path in paths if ".so" in os.path.basename(path) and "lib-dynload" not in path}


if __name__ == "__main__":
    main()
