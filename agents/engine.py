"""The in-process engine: any causal language model in Hugging Face format behind `Engine`.

Invariant: what `generate` returns equals, up to floating-point noise, what an uncached forward over the whole sequence
would give, whoever else is being served. The event loop never waits for the model: one thread computes while there
is something to compute, and sandboxes go on working meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from agents.batch import Batch, Request
from agents.protocol import Completion, EngineError, Sampling
from agents.sampler import noise

JOIN_EVERY = 4
"""Decoding steps between two admissions, unless many wait: a small prefill costs all others about one step."""


@dataclass
class _Ticket:
    """A request and whom to tell."""

    request: Request
    future: asyncio.Future[Completion]
    loop: asyncio.AbstractEventLoop


class TransformersEngine:
    """Samples with a transformers model, in this process.

    The model is the learner's, put into evaluation mode whenever it samples: `update_weights` has nothing to copy.
    With `copy_as`, the engine keeps a copy in that dtype, and `update_weights` copies the parameters into it.
    """

    def __init__(
        self,
        model: Any,
        stop_ids: AbstractSet[int],
        *,
        max_context: int,
        max_batch: int = 64,
        seed: int = 0,
        copy_as: torch.dtype | None = None,
    ) -> None:
        """`max_batch` sessions keep a cache (memory: max_batch x longest context); more than that take turns."""
        self._source = model
        self._model = model if copy_as is None else deepcopy(model).to(copy_as).requires_grad_(False)
        self._batch = Batch(self._model, stop_ids, max_batch)
        self._max_context = max_context
        self._seed = seed
        self._version = 0
        self._lock = threading.Lock()
        self._pending: list[_Ticket] = []
        self._served: dict[int, _Ticket] = {}
        self._closed: list[str] = []
        self._running = False
        self._thread = ThreadPoolExecutor(1, "engine")
        self._since = 0
        self._busy = 0.0

    @property
    def version(self) -> int:
        """Version of the weights that sample now."""
        return self._version

    @property
    def max_context(self) -> int:
        """Longest sequence, prompt and completion together, in tokens."""
        return self._max_context

    @property
    def busy_seconds(self) -> float:
        """How long the model has computed so far, wall time; the rest of a rollout is waiting for sandboxes."""
        return self._busy

    async def generate(self, session: str, token_ids: list[int], sampling: Sampling) -> Completion:
        """Sample one turn after `token_ids`; see `Engine.generate`. A session has one call at a time."""
        room = min(sampling.max_new_tokens, self._max_context - len(token_ids))
        if not token_ids or room < 1:
            raise EngineError(
                f"nothing can be sampled after {len(token_ids)} tokens: max_context is {self._max_context} and "
                f"max_new_tokens {sampling.max_new_tokens}"
            )
        seed = self._seed if sampling.seed is None else sampling.seed
        uniform = noise(seed, session, len(token_ids), room).tolist()
        request = Request(session, list(token_ids), sampling.temperature, uniform)
        loop = asyncio.get_running_loop()
        ticket = _Ticket(request, loop.create_future(), loop)
        with self._lock:
            if any(t.request.session == session for t in (*self._pending, *self._served.values())):
                raise EngineError(f"session {session} is already being served; a session has one call at a time")
            self._pending.append(ticket)
            start, self._running = not self._running, True
        if start:
            self._thread.submit(self._serve)
        try:
            return await ticket.future
        finally:
            request.cancelled = True  # harmless after the end; otherwise the caller has gone

    async def close_session(self, session: str) -> None:
        """Forget the session's cache."""
        with self._lock:
            self._closed.append(session)

    @property
    def model(self) -> Any:
        """What samples: the learner's model, or the copy."""
        return self._model

    def update_weights(self, version: int, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Sample with the learner's current weights, or with these, as `version`; all caches are forgotten."""
        with self._lock:
            if self._pending or self._served:
                raise EngineError("weights cannot change while turns are being sampled; finish the rollouts first")
            if weights is not None:
                self._model.load_state_dict(weights)
            elif self._model is not self._source:
                with torch.no_grad():
                    pairs = zip(self._model.parameters(), self._source.parameters(), strict=True)
                    for ours, theirs in pairs:
                        ours.copy_(theirs)
            self._batch.forget()
            self._version = version

    def close(self) -> None:
        """End the thread. The engine cannot be used afterwards."""
        self._thread.shutdown()

    def _serve(self) -> None:
        """Compute until nothing is left to do. Runs in the engine's thread."""
        started = time.perf_counter()
        try:
            self._model.eval()
            with torch.inference_mode():
                while self._admit():
                    for request in self._batch.step():
                        self._answer(request)
        except Exception as error:
            self._fail(error)
        finally:
            self._busy += time.perf_counter() - started

    def _admit(self) -> bool:
        """Let waiting requests join; False, atomically with going to sleep, when nothing is left."""
        with self._lock:
            for session in self._closed:
                self._batch.release(session)
            self._closed.clear()
            self._pending = [t for t in self._pending if not t.request.cancelled]
            active = self._batch.active
            if not active and not self._pending:
                self._running = False
                return False
            self._since += 1
            if not (self._since >= JOIN_EVERY or not active or 4 * len(self._pending) >= active):
                return True
            self._since = 0
            room = self._batch.max_batch - active
            joining, self._pending = self._pending[:room], self._pending[room:]
            self._served |= {id(t.request): t for t in joining}
        if joining:
            self._batch.admit([t.request for t in joining])
        return True

    def _answer(self, request: Request) -> None:
        """Hand a finished turn to whoever waits for it."""
        with self._lock:
            ticket = self._served.pop(id(request))
        finish = "stop" if request.stopped else "length"
        _deliver(ticket, Completion(request.ids, request.logprobs, finish, self._version))  # type: ignore[arg-type]

    def _fail(self, error: Exception) -> None:
        """Tell everyone who waits, and start from nothing next time."""
        with self._lock:
            tickets = [*self._pending, *self._served.values()]
            self._pending, self._served, self._running = [], {}, False
            self._batch.forget()
        for ticket in tickets:
            _deliver(ticket, EngineError(f"the model failed: {error}"))


def _deliver(ticket: _Ticket, result: Completion | EngineError) -> None:
    """Settle a future of another thread's event loop, which may have gone away."""

    def settle() -> None:
        if ticket.future.done():
            return
        if isinstance(result, EngineError):
            ticket.future.set_exception(result)
        else:
            ticket.future.set_result(result)

    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        ticket.loop.call_soon_threadsafe(settle)
