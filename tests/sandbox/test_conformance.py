"""Every backend keeps every promise of `sandbox.conformance`; what one is known not to keep is expected to fail."""

from __future__ import annotations

import pytest

from sandbox import Image, SandboxBackend
from sandbox.conformance import CASES, WEAK, Case, check

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_conformance(backend: SandboxBackend, image: Image, case: Case, request: pytest.FixtureRequest) -> None:
    if why := WEAK.get((backend.name, case.__name__)):
        request.applymarker(pytest.mark.xfail(reason=why, raises=AssertionError, strict=True))
    await check(backend, case, image)
