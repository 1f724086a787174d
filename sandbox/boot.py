"""How the guest program gets into a container: its modules are sent ahead of the first frame.

Invariant: the container needs python3 and nothing of ours; what runs there is exactly the `sandbox.guest` of the owner.
It calls back through the socket that it was shown, and where there is none it is spoken to on its standard streams.
"""

from __future__ import annotations

import functools
import inspect
import json
import struct
from collections.abc import Sequence

from sandbox import guest
from sandbox.rendezvous import SOCKET

_LENGTH = struct.Struct(">I")
_LOADER = """\
import json, os, socket, struct, sys, types
fds = 0, 1
if os.path.exists('{socket}'):
    call = socket.socket(socket.AF_UNIX)
    call.connect('{socket}')
    fds = call.fileno(), call.fileno()
def take(size):
    parts = b''
    while len(parts) < size:
        chunk = os.read(fds[0], size - len(parts))
        if not chunk:
            os._exit(0)
        parts += chunk
    return parts
modules = json.loads(take(struct.unpack('>I', take(4))[0]))
for name, source in modules:
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    exec(compile(source, name, 'exec', dont_inherit=True), module.__dict__)
sys.modules['sandbox.guest.main'].serve(*fds, dict(os.environ))
"""


def command(python: Sequence[str]) -> list[str]:
    """What the container runs as its process 1, given the words that start its Python."""
    return [*python, "-I", "-S", "-u", "-c", _LOADER.replace("{socket}", SOCKET)]


@functools.cache
def source() -> bytes:
    """What must be sent to it first."""
    modules = [("sandbox", ""), ("sandbox.guest", inspect.getsource(guest))]
    for name in guest.MODULES:
        module = __import__(f"sandbox.guest.{name}", fromlist=["*"])
        modules.append((f"sandbox.guest.{name}", inspect.getsource(module)))
    text = json.dumps(modules).encode()
    return _LENGTH.pack(len(text)) + text
