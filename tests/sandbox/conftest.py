"""Backends and an image for the sandbox tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from sandbox_helpers import Starter
from service_helpers import running_service

from sandbox import Image, Limits, Sandbox, SandboxBackend, open_backend
from sandbox.home import home

pytest.register_assert_rewrite("sandbox.conformance")  # before its first import: failing asserts show their values


@pytest.fixture(scope="session")
def image() -> Image:
    from sandbox.conformance import standard_image

    return standard_image()


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["local", pytest.param("docker", marks=pytest.mark.docker), "remote"]
)
async def backend(
    request: pytest.FixtureRequest, monkeypatch_module: pytest.MonkeyPatch
) -> AsyncIterator[SandboxBackend]:
    """`remote` is a service of its own, in another process, that has local sandboxes."""
    with contextlib.ExitStack() as stack:
        if request.param == "remote":
            service = stack.enter_context(running_service(home(), "--size", "64"))
            monkeypatch_module.setenv("CONTEXTRL_SANDBOX_SERVICES", service.url)
        opened = await open_backend(request.param)
        yield opened
        await opened.close()


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest_asyncio.fixture(loop_scope="module")
async def start(backend: SandboxBackend, image: Image) -> AsyncIterator[Starter]:
    """Starts sandboxes that the test's end stops: `await start(memory_mb=64)`."""
    boxes: list[Sandbox] = []

    async def start_one(**limits: float) -> Sandbox:
        box = await backend.start(image, Limits(**limits))  # type: ignore[arg-type]
        boxes.append(box)
        return box

    yield start_one
    for box in boxes:
        await box.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def box(start: Starter) -> Sandbox:
    return await start()
