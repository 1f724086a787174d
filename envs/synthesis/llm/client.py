"""A chat model behind an HTTP endpoint.

Invariant: every call is counted, failed ones included; the key comes from the environment and is never in a message.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pydantic import BaseModel, ConfigDict, Field

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_EXCERPT = 200


class ModelError(ValueError):
    """The endpoint did not answer, or not as OpenAI's protocol says."""


class ModelConfig(BaseModel):
    """Where a language model is and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    """Up to and with the version: `http://localhost:8000/v1`."""
    model: str
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a local server may do without."""
    temperature: float = Field(1.0, ge=0)
    max_tokens: int = Field(4096, ge=1)
    timeout_s: float = Field(120.0, gt=0)
    retries: int = Field(4, ge=0)
    """After 429, 5xx and broken connections; each waits twice as long as the one before."""
    input_price: float = Field(0.0, ge=0)
    """Per million tokens."""
    output_price: float = Field(0.0, ge=0)


@dataclass
class Usage:
    """What was asked so far."""

    calls: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


class ChatModel:
    """Asks one model. Raises `ModelError` for a base_url that is none."""

    def __init__(self, config: ModelConfig, usage: Usage | None = None, *, first_wait_s: float = _FIRST_WAIT_S) -> None:
        """`usage`: what was asked before, counted on."""
        if not config.base_url.startswith(("http://", "https://")):
            raise ModelError(f"base_url of a model must start with http:// or https://, not {config.base_url!r}")
        self.config, self.usage = config, Usage() if usage is None else usage
        self._first_wait_s = first_wait_s

    async def ask(self, system: str, user: str) -> str:
        """The answer's text. Raises `ModelError` in one sentence when there is none after all retries."""
        config = self.config
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = {"model": config.model, "messages": messages, "temperature": config.temperature}
        payload = json.dumps({**body, "max_tokens": config.max_tokens}).encode()
        for attempt in range(config.retries + 1):
            self.usage.calls += 1
            try:
                answer = await asyncio.to_thread(self._post, payload)
                return self._text(answer)
            except _Busy as busy:
                self.usage.failures += 1
                if attempt == config.retries:
                    raise ModelError(f"{self._where()} {busy} ({attempt + 1} attempts)") from None
                wait = busy.wait_s if busy.wait_s is not None else self._first_wait_s * 2**attempt
                await asyncio.sleep(min(wait, _LONGEST_WAIT_S))
            except ModelError:
                self.usage.failures += 1
                raise
        raise AssertionError("a loop without an end")

    def _post(self, payload: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.config.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        url = self.config.base_url.rstrip("/") + "/chat/completions"
        try:
            with urlopen(Request(url, payload, headers), timeout=self.config.timeout_s) as response:
                return json.loads(response.read())
        except HTTPError as error:
            said = error.read(4 * _EXCERPT).decode(errors="replace")
            if error.code == 429 or error.code >= 500:
                raise _Busy(f"answers with status {error.code}", _seconds(error.headers.get("Retry-After"))) from None
            raise ModelError(f"{self._where()} answers with status {error.code}: {_excerpt(said)}") from None
        except (OSError, HTTPException) as error:
            raise _Busy(
                f"cannot be reached: {getattr(error, 'reason', None) or error or type(error).__name__}"
            ) from None
        except ValueError:
            raise ModelError(f"{self._where()} answers with something that is not JSON: is base_url right?") from None

    def _text(self, answer: Any) -> str:
        try:
            text = answer["choices"][0]["message"]["content"]
            used = answer.get("usage") or {}
            tokens = int(used.get("prompt_tokens") or 0), int(used.get("completion_tokens") or 0)
        except (LookupError, TypeError, AttributeError, ValueError):
            raise ModelError(
                f"{self._where()} answers without choices[0].message.content: {_excerpt(answer)}"
            ) from None
        if not isinstance(text, str):
            raise ModelError(f"{self._where()} answers without a text: {_excerpt(answer)}")
        self.usage.input_tokens += tokens[0]
        self.usage.output_tokens += tokens[1]
        self.usage.cost += (tokens[0] * self.config.input_price + tokens[1] * self.config.output_price) / 1e6
        return text

    def _where(self) -> str:
        return f"the model {self.config.model} at {self.config.base_url}"


class _Busy(Exception):
    """Worth another attempt, after `wait_s` if the endpoint says so."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def _seconds(text: str | None) -> float | None:
    """Of a Retry-After header; a date is not heeded."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None


def _excerpt(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "..."
