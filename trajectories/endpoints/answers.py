"""What an endpoint's answers hold, in OpenAI's protocol and what others make of it.

Invariant: an answer of another form is a `ValueError` that says what is missing, never a half-read reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


def read_reply(answer: Any, cached: bool) -> Reply:
    """The first choice of a chat or a completion. Raises `ValueError`."""
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
        raise ValueError("answers without choices[0] as OpenAI's protocol has it") from None


def read_vectors(count: int, answer: Any, cached: bool) -> list[list[float]]:
    """So many vectors, in the order of what was asked. Raises `ValueError`."""
    try:
        in_order = sorted(answer["data"], key=lambda item: item["index"])
        found = [[float(x) for x in item["embedding"]] for item in in_order]
    except (LookupError, TypeError, ValueError):
        raise ValueError("answers without data[].embedding") from None
    if len(found) != count:
        raise ValueError(f"answers with {len(found)} vectors for {count} texts")
    return found


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
