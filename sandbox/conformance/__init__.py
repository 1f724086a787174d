"""What every sandbox backend must keep, as a library: ours pass it, and so can yours.

A case is an `async def` with one argument, a `Bed`; its name and its docstring say the promise, and it raises
`AssertionError` when the promise is broken. `CASES` are the promises of `sandbox.protocol`; `ATTACKS` are real attempts
to break out, each of which must fail. A test of your own backend with pytest and pytest-asyncio:

    import pytest
    pytest.register_assert_rewrite("sandbox.conformance")
    from sandbox.conformance import ATTACKS, CASES, check

    @pytest.mark.parametrize("case", CASES + ATTACKS, ids=lambda case: case.__name__)
    async def test_my_backend(case):
        await check(MyBackend(), case)

Sandboxes need bash, coreutils, findutils, grep and `python` (3.8 or newer). Where their processes are not processes of
this machine say `check(..., sees_processes=False)`: what can only be seen from outside is then left out.

`python -m sandbox.conformance --backend docker` runs all of it and prints what holds.
"""

from __future__ import annotations

from sandbox.conformance.bed import Bed, Case, check, standard_image
from sandbox.conformance.suite import ATTACKS, CASES
from sandbox.conformance.weak import WEAK

__all__ = ["ATTACKS", "CASES", "WEAK", "Bed", "Case", "check", "standard_image"]
