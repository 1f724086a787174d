"""Attacks on every backend, one named case each (`sandbox.conformance.attacks`): none may succeed or harm another.

What a backend cannot stop is declared in `sandbox.conformance.weak`, shown in docs/sandbox.md and expected to fail.
"""

from __future__ import annotations

import pytest

from sandbox import Image, SandboxBackend
from sandbox.conformance import ATTACKS, WEAK, Case, check

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_escape(backend: SandboxBackend, image: Image, attack: Case, request: pytest.FixtureRequest) -> None:
    if why := WEAK.get((backend.name, attack.__name__)):
        request.applymarker(pytest.mark.xfail(reason=why, raises=AssertionError, strict=True))
    await check(backend, attack, image)
