"""The sandboxes of a run: its backend, and containers that are kept ready.

Invariant: what is opened here is closed when its block ends, however that ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contextrl.config import Recipe
from envs.grading import GRADINGS
from sandbox import BackendOptions, Pool, SandboxBackend, open_backend


@asynccontextmanager
async def opened(recipe: Recipe) -> AsyncIterator[SandboxBackend]:
    """The recipe's backend."""
    options = BackendOptions(docker_base=recipe.sandbox.docker_base, services=recipe.sandbox.services)
    backend = await open_backend(recipe.backend, options)
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def kept_ready(recipe: Recipe, backend: SandboxBackend) -> AsyncIterator[SandboxBackend]:
    """Containers take long to start, so the next ones start while the policy computes; the others come at once."""
    if backend.name != "docker":
        yield backend
        return
    pool = Pool(backend, size=recipe.rollout.concurrency + GRADINGS)
    try:
        yield pool
    finally:
        await pool.close()
