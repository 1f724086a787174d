"""What is made of a published image (`Image.reference`) so that sandboxes can start from it.

Invariant: the derived image needs nothing of the published one but /testbed: the guest gets a Python of its own, with
its libraries. No history of the repository but one commit is readable in it, and nothing outside /testbed is writable.

`interpreter` and `prepare` are programs that run while the image is built; they import the standard library only.
"""

from __future__ import annotations

import inspect

from sandbox.jail import SANDBOX_UID
from sandbox.published import interpreter, prepare

_HOME = interpreter.HOME
PYTHON = (f"{_HOME}/ld.so", "--library-path", f"{_HOME}/lib", f"{_HOME}/bin/python3")
"""The words that start the guest's Python. It runs under its own loader, whatever C library the image has."""

# Published images of SWE tasks keep the repository's Python in this environment; folders that are not there do no harm.
_DOCKERFILE = """\
FROM {base} AS interpreter
COPY interpreter.py prepare.py {home}/
RUN python3 -I -S {home}/interpreter.py
FROM {reference}
COPY --from=interpreter {home} {home}
USER 0
ENV PATH=/opt/miniconda3/envs/testbed/bin:/opt/miniconda3/bin:${{PATH:-/usr/local/bin:/usr/bin:/bin}}
RUN [{prepare}]
WORKDIR /
HEALTHCHECK NONE
"""


def dockerfile(base: str, reference: str) -> str:
    """The recipe of the derived image; both names are ids of images."""
    words = (*PYTHON, "-I", "-S", f"{_HOME}/prepare.py", str(SANDBOX_UID))
    listed = ", ".join(f'"{word}"' for word in words)
    return _DOCKERFILE.format(base=base, reference=reference, home=_HOME, prepare=listed)


def programs() -> dict[str, bytes]:
    """The files that the recipe copies."""
    return {
        f"{module.__name__.rpartition('.')[2]}.py": inspect.getsource(module).encode()
        for module in (interpreter, prepare)
    }
