"""The driver on its way into a sandbox.

Invariant: the same files everywhere, in a folder of their own outside the repository.
"""

from __future__ import annotations

import importlib.util
import py_compile
import tempfile
from functools import cache
from pathlib import Path

from sandbox.protocol import Sandbox

DRIVER = Path(__file__).with_name("driver")
"""The package that runs inside the sandbox."""
FOLDER = "/tmp/testrun"
_PACKAGE = "contextrl_driver"
START = f"""\
import os, sys
own = [path for path in sys.path if os.path.abspath(path).startswith(os.getcwd())]
sys.path[:] = [{FOLDER!r}, *(path for path in sys.path if path not in own)]
from {_PACKAGE}.main import main
del sys.path[0]
main(sys.argv[1], [path for path in own if path])  # only forks see the repository
"""
PYCACHE = f"{FOLDER}/pycache"


def driver_files() -> dict[str, bytes]:
    """The driver's files by name."""
    return {path.name: path.read_bytes() for path in sorted(DRIVER.glob("*.py"))}


async def place_driver(sandbox: Sandbox) -> None:
    """Put the driver where `run_in` starts it. Raises `SandboxError`."""
    await sandbox.write(_shipped())


@cache
def _shipped() -> dict[str, bytes]:
    """The driver and its byte code, which counts where the sandbox has the Python that runs this."""
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, data in driver_files().items():
            place = f"{FOLDER}/{_PACKAGE}/{name}"
            beside = importlib.util.cache_from_source(place)
            apart = f"{PYCACHE}{beside.replace('/__pycache__/', '/')}"
            target = f"{folder}/code"
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(DRIVER / name), target, dfile=place, doraise=True, invalidation_mode=mode)
            files |= {place: data, **dict.fromkeys((beside, apart), Path(target).read_bytes())}
    return files
