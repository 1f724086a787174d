"""Posting JSON to an endpoint until it answers.

Invariant: every attempt is held against the budget before it is made (to ask again without a field that the endpoint
refused is the same attempt); an error is one sentence that names the endpoint and never the key.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from trajectories.endpoints.budget import Budget

if TYPE_CHECKING:
    import httpx2

FIRST_WAIT_S = 1.0
"""Before the first retry; each later one waits twice as long, give or take half."""
LONGEST_WAIT_S = 60.0
LONGEST_ASKED_WAIT_S = 600.0
"""Most that a Retry-After header is heeded."""
_EXCERPT = 200
_RENAMED = {"max_tokens": "max_completion_tokens", "temperature": None}
"""Fields that some models refuse, and what they take instead; None: nothing."""


class EndpointError(ValueError):
    """The endpoint did not answer, or not as OpenAI's protocol says."""

    status: int | None = None
    """Of an answer that refuses the request, such as 400 for a prompt that is too long."""


class EndpointDown(EndpointError):
    """The endpoint did not answer, however often it was asked; later it may."""


class Poster:
    """Posts to one base URL. Thread-safe."""

    def __init__(self, url: str, *, retries: int, timeout_s: float) -> None:
        self._url, self._retries, self._timeout_s = url, retries, timeout_s
        self._given_up = threading.Event()
        self._refused: set[str] = set()
        """Fields of `_RENAMED` that this endpoint refused."""
        self._opening = threading.Lock()
        self._client: httpx2.Client | None = None

    def post(self, path: str, body: dict[str, Any], budget: Budget, prompt: int, completion: int) -> Any:
        """The answer as JSON. `prompt`, `completion`: tokens that it may cost, an estimate."""
        for attempt in range(self._retries + 1):
            budget.hold(prompt, completion)
            used = (0, 0)
            try:
                answer = self._once(path, body)
                used = _used(answer, prompt)
                return answer
            except _Busy as busy:
                if attempt == self._retries:
                    times = f" ({attempt + 1} attempts)" if attempt else ""
                    raise EndpointDown(str(self.error(f"{busy}{times}", busy.said))) from None
                wait = busy.wait_s
            finally:
                budget.settle(prompt, completion, used)
            if wait is None:
                wait = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1.5)
            if self._given_up.wait(min(wait, LONGEST_ASKED_WAIT_S)):
                raise self.error("was not asked again: the work was stopped", "")
        raise AssertionError("a loop without an end")

    def error(self, problem: str, said: object) -> EndpointError:
        """What went wrong, with an excerpt of what the endpoint said."""
        text = said if isinstance(said, str) else json.dumps(said)
        text = " ".join(text.split())
        if key := _key():
            text = text.replace(key, "***")
        excerpt = text if len(text) <= _EXCERPT else text[:_EXCERPT] + "..."
        return EndpointError(f"the endpoint {self._url} {problem}" + (f": {excerpt}" if excerpt else ""))

    def close(self) -> None:
        """Close the connections; no retries from now on."""
        self._given_up.set()
        if self._client is not None:
            self._client.close()

    def _opened(self) -> httpx2.Client:
        import httpx2

        with self._opening:
            if self._client is None:
                timeout = httpx2.Timeout(self._timeout_s, connect=min(self._timeout_s, 15.0))
                self._client = httpx2.Client(timeout=timeout, limits=httpx2.Limits(max_connections=None))
            return self._client

    def _once(self, path: str, body: dict[str, Any]) -> Any:
        import httpx2

        key = _key()
        if not key.isprintable() or not key.isascii() or " " in key:
            raise EndpointError("OPENAI_API_KEY holds white space or other characters that no key has: set it again")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        sent = self._as_taken(body)
        try:
            response = self._opened().post(self._url + path, json=sent, headers=headers)
        except httpx2.TimeoutException:
            raise _Busy(f"did not answer within {self._timeout_s:g} seconds") from None
        except httpx2.UnsupportedProtocol as error:
            raise self.error("cannot be asked", str(error)) from None
        except httpx2.TransportError as error:
            raise _Busy("cannot be reached", said=str(error) or type(error).__name__) from None
        except httpx2.InvalidURL as error:
            raise self.error("is no address", str(error)) from None
        if response.status_code == 429 or response.status_code >= 500:
            wait_s = _seconds(response.headers.get("Retry-After"))
            raise _Busy(f"answers with status {response.status_code}", wait_s, response.text)
        if response.status_code >= 300:
            if response.status_code == 400 and self._take_out(response.text, sent):
                return self._once(path, body)
            refused = self.error(f"answers with status {response.status_code}", response.text)
            refused.status = response.status_code
            raise refused
        try:
            answer = response.json()
        except ValueError:
            raise _Busy("answers with something that is not JSON; is the URL right?", said=response.text) from None
        if isinstance(answer, dict) and answer.get("error"):
            raise self.error("answers with an error", answer["error"])
        return answer

    def _as_taken(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body without what this endpoint refused."""
        changed = dict(body)
        for name in self._refused & body.keys():
            value = changed.pop(name)
            if instead := _RENAMED[name]:
                changed[instead] = value
        return changed

    def _take_out(self, said: str, sent: Mapping[str, Any]) -> bool:
        """Whether the endpoint refused a field that can be put otherwise; from then on it is."""
        try:
            field = json.loads(said)["error"]["param"]
        except (ValueError, LookupError, TypeError):
            return False
        if field not in _RENAMED or field not in sent or "nsupported" not in said:
            return False
        self._refused.add(field)
        return True


class _Busy(Exception):
    """Worth another attempt, after `wait_s` if the endpoint says so."""

    def __init__(self, what: str, wait_s: float | None = None, said: str = "") -> None:
        super().__init__(what)
        self.wait_s, self.said = wait_s, said


def _key() -> str:
    return os.environ.get("OPENAI_API_KEY", "").strip()


def _seconds(header: str | None) -> float | None:
    """Of a Retry-After header: seconds, or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, date.astimezone(UTC).timestamp() - datetime.now(UTC).timestamp())


def _used(answer: Any, prompt: int) -> tuple[int, int]:
    """Tokens of prompt and completion as the endpoint counts them; where it does not, the estimate."""
    try:
        usage = answer["usage"]
        return int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0)
    except (TypeError, LookupError, ValueError, AttributeError):
        return prompt, len(json.dumps(answer)) // 4
