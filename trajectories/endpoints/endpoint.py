"""A small client for OpenAI-compatible endpoints: chat, completions, embeddings.

Invariant: the same request is answered from the cache, without a budget and without a network; what was answered once
is never lost. The key comes from OPENAI_API_KEY and stands in no message, cache or log. Thread-safe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajectories.endpoints.budget import Budget, BudgetExhausted
from trajectories.endpoints.posting import EndpointError, Poster
from trajectories.endpoints.replies import ReplyCache, request_key

__all__ = ["Budget", "BudgetExhausted", "Endpoint", "EndpointAddress", "EndpointError", "Reply", "parse_endpoint"]

Message = dict[str, str]
"""`role` and `content`."""
PUBLIC_URL = "https://api.openai.com/v1"
"""What `openai:#MODEL` means where OPENAI_BASE_URL says nothing else; the official client's default."""
_CHARS_A_TOKEN = 4
_TEXTS_AT_ONCE = 128


@dataclass(frozen=True)
class EndpointAddress:
    """Where a model is."""

    url: str
    """Up to and with the version, without a slash at the end."""
    model: str

    def __str__(self) -> str:
        return f"openai:{self.url}#{self.model}"


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str
    finish_reason: str
    """`stop`, `length`, ...; empty where the endpoint does not say."""
    prompt_tokens: int
    completion_tokens: int
    top_logprobs: dict[str, float] | None
    """Of the first token: candidate -> natural-log probability. None where they were not asked for or not given."""
    cached: bool


def parse_endpoint(text: str) -> EndpointAddress:
    """`openai:http://HOST:PORT/v1#MODEL`, or `openai:#MODEL` for OPENAI_BASE_URL. Raises `ValueError`."""
    scheme, colon, rest = text.partition(":")
    url, hash_, model = rest.partition("#")
    wanted = "write openai:http://HOST:PORT/v1#MODEL, or openai:#MODEL for the endpoint in OPENAI_BASE_URL"
    if scheme != "openai" or not colon:
        raise ValueError(f"{text!r} names no endpoint: {wanted}")
    if not hash_ or not model.strip():
        raise ValueError(f"{text!r} names no model: {wanted}")
    url = (url or os.environ.get("OPENAI_BASE_URL") or PUBLIC_URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the URL of an endpoint must start with http:// or https://, not {url!r}: {wanted}")
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise ValueError("the URL of an endpoint must not hold a password: the key comes from OPENAI_API_KEY")
    return EndpointAddress(url, model)


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
        answer, cached = self._ask("/chat/completions", body, extra)
        return self._reply(answer, cached)

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
        answer, cached = self._ask("/completions", body, extra)
        return self._reply(answer, cached)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in order, from /embeddings."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = list(texts[start : start + _TEXTS_AT_ONCE])
            answer, _ = self._ask("/embeddings", {"input": some}, None)
            try:
                found = [
                    [float(x) for x in item["embedding"]] for item in sorted(answer["data"], key=lambda i: i["index"])
                ]
            except (LookupError, TypeError, ValueError):
                raise self._poster.error("answers without data[].embedding", answer) from None
            if len(found) != len(some):
                raise self._poster.error(f"answers with {len(found)} vectors for {len(some)} texts", "")
            vectors += found
        return vectors

    def map_chat(
        self,
        list_of_messages: Iterable[Sequence[Message]],
        on_done: Callable[[int, Reply], object] | None = None,
        **options: Any,
    ) -> list[Reply]:
        """`chat` on each, several at a time, in order. `options` are those of `chat`; `max_tokens` is one of them.

        `on_done(place, reply)` is called in this thread as answers come. At the first error what is under way is
        finished and told, the rest is not asked, and the error is raised.
        """
        waiting = list(enumerate(list_of_messages))[::-1]
        replies: dict[int, Reply] = {}
        places: dict[Future[Reply], int] = {}
        error: Exception | None = None
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint") as pool:
            try:
                while places or (waiting and not error):
                    while waiting and not error and len(places) < self.concurrency:
                        place, messages = waiting.pop()
                        places[pool.submit(self.chat, messages, **options)] = place
                    for done in wait(places, return_when=FIRST_COMPLETED).done:
                        place = places.pop(done)
                        try:
                            replies[place] = done.result()
                        except Exception as problem:
                            error = error or problem
                            continue
                        if on_done:
                            on_done(place, replies[place])
            except BaseException:
                self._poster.give_up()  # Ctrl-C, or `on_done` failed: no more attempts
                raise
        if error:
            raise error
        return [replies[place] for place in range(len(replies))]

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ask(self, path: str, body: dict[str, Any], extra: dict[str, Any] | None) -> tuple[Any, bool]:
        """The endpoint's answer as JSON, and whether the cache gave it."""
        body = {"model": self.address.model} | body | (extra or {})
        body = {name: value for name, value in body.items() if value is not None}
        key = request_key(self.address.url + path, body)
        if self._cache and (known := self._cache.get(key)) is not None:
            return known, True
        prompt = _length(body.get("messages", body.get("prompt", body.get("input", "")))) // _CHARS_A_TOKEN
        with self._room:
            answer = self._poster.post(path, body, self.budget, prompt, int(body.get("max_tokens", 0)))
        if self._cache:
            self._cache.put(key, answer)
        return answer, False

    def _reply(self, answer: Any, cached: bool) -> Reply:
        try:
            choice, usage = answer["choices"][0], answer.get("usage") or {}
            text = choice["message"]["content"] if "message" in choice else choice["text"]
            return Reply(
                text=text or "",
                finish_reason=choice.get("finish_reason") or "",
                prompt_tokens=int(usage.get("prompt_tokens") or 0),
                completion_tokens=int(usage.get("completion_tokens") or 0),
                top_logprobs=_first_token(choice.get("logprobs")),
                cached=cached,
            )
        except (LookupError, TypeError, AttributeError, ValueError):
            raise self._poster.error("answers without choices[0] as OpenAI's protocol has it", answer) from None


def _first_token(logprobs: Any) -> dict[str, float] | None:
    """Candidates for the first token, in the form of chat or of completions."""
    if not logprobs:
        return None
    if logprobs.get("content"):  # chat
        top: dict[str, float] = {}
        for one in logprobs["content"][0].get("top_logprobs") or [logprobs["content"][0]]:
            top[one["token"]] = max(float(one["logprob"]), top.get(one["token"], float("-inf")))
        return top
    if logprobs.get("top_logprobs"):  # completions
        return {token: float(value) for token, value in logprobs["top_logprobs"][0].items()}
    return None


def _length(value: Any) -> int:
    """Characters of all texts in a JSON value; a token id counts as much as a token does."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_length, value.values()))
    return sum(map(_length, value)) if isinstance(value, list) else _CHARS_A_TOKEN
