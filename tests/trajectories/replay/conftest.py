import asyncio

import pytest
from replay_ground import profile_of, record, task_of, write_tree

from sandbox import open_backend


@pytest.fixture(scope="session")
def profile(tmp_path_factory):
    return profile_of(write_tree(tmp_path_factory.mktemp("lengths") / "tree"))


@pytest.fixture(scope="session")
def task(profile):
    return task_of(profile)


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.docker)])
async def either(request):
    """Each backend in turn."""
    backend = await open_backend(request.param)
    yield backend
    await backend.close()


@pytest.fixture
async def backend():
    backend = await open_backend("local")
    yield backend
    await backend.close()


@pytest.fixture(scope="session")
def episode(profile, task):
    """The recorded script, played in the local backend."""

    async def play():
        backend = await open_backend("local")
        try:
            return await record(backend, profile, task)
        finally:
            await backend.close()

    return asyncio.run(play())
