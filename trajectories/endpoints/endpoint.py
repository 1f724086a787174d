"""A small client for OpenAI-compatible endpoints: chat, completions, embeddings.

Invariant: the same request is answered from the cache, without a budget and without a network; what was answered once
is never lost. The key comes from OPENAI_API_KEY and stands in no message, cache or log. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trajectories.endpoints.address import EndpointAddress, parse_endpoint
from trajectories.endpoints.answers import Reply, read_reply, read_vectors
from trajectories.endpoints.budget import Budget, BudgetExhausted
from trajectories.endpoints.posting import EndpointDown, EndpointError, Poster
from trajectories.endpoints.replies import ReplyCache, request_key

__all__ = [
    "Budget",
    "BudgetExhausted",
    "Endpoint",
    "EndpointAddress",
    "EndpointDown",
    "EndpointError",
    "Reply",
    "parse_endpoint",
]

Message = dict[str, str]
"""`role` and `content`."""
_CHARS_A_TOKEN = 4
_TEXTS_AT_ONCE = 128
Found = TypeVar("Found")


class Endpoint:
    """Asks one model. Methods raise `EndpointError` when there is no answer, `BudgetExhausted` before asking."""

    def __init__(
        self,
        address: EndpointAddress,
        *,
        cache: Path | None = None,
        budget: Budget | None = None,
        retries: int = 4,
        timeout_s: float = 120,
        concurrency: int = 8,
    ) -> None:
        """`cache`: a folder. `retries`: after 429, 5xx and broken connections. `concurrency`: requests at a time."""
        self.address, self.concurrency = address, max(1, concurrency)
        self.budget = Budget() if budget is None else budget
        """Also counts what was spent where there are no limits."""
        self._cache = ReplyCache(cache) if cache is not None else None
        self._poster = Poster(address.url, retries=retries, timeout_s=timeout_s)
        self._room = threading.BoundedSemaphore(self.concurrency)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        logprobs: bool = False,
        top_logprobs: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Reply:
        """One answer of /chat/completions. `extra` goes into the request; a None in it takes a field out."""
        body: dict[str, Any] = {"messages": list(messages), "max_tokens": max_tokens, "temperature": temperature}
        if logprobs or top_logprobs:
            body |= {"logprobs": True, "top_logprobs": top_logprobs or 1}
        return self._ask("/chat/completions", body, extra, read_reply)

    def complete(
        self,
        prompt: str | list[int],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        logprobs: bool = False,
        top_logprobs: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Reply:
        """One continuation of a text or of token ids, from /completions. Otherwise as `chat`."""
        body: dict[str, Any] = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}
        if logprobs or top_logprobs:
            body["logprobs"] = top_logprobs or 1
        return self._ask("/completions", body, extra, read_reply)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order, from /embeddings."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = list(texts[start : start + _TEXTS_AT_ONCE])
            vectors += self._ask("/embeddings", {"input": some}, None, partial(read_vectors, len(some)))
        return vectors

    def close(self) -> None:
        """Close the connections. What is under way in other threads is not asked again."""
        self._poster.close()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ask(
        self, path: str, body: dict[str, Any], extra: dict[str, Any] | None, read: Callable[[Any, bool], Found]
    ) -> Found:
        """What `read(answer, whether the cache gave it)` makes of the answer. Only what could be read is kept."""
        body = {"model": self.address.model} | body | (extra or {})
        body = {name: value for name, value in body.items() if value is not None}
        key = request_key(self.address.url + path, body)
        if self._cache and (known := self._cache.get(key)) is not None:
            with suppress(ValueError):
                return read(known, True)
        prompt = _length(body.get("messages", body.get("prompt", body.get("input", "")))) // _CHARS_A_TOKEN
        with self._room:
            answer = self._poster.post(path, body, self.budget, prompt, int(body.get("max_tokens", 0)))
        try:
            found = read(answer, False)
        except ValueError as problem:
            raise self._poster.error(str(problem), answer) from None
        if self._cache:
            self._cache.put(key, answer)
        return found


def _length(value: Any) -> int:
    """Characters of all texts in a JSON value; a token id counts as much as a token does."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_length, value.values()))
    return sum(map(_length, value)) if isinstance(value, list) else _CHARS_A_TOKEN
