"""What a judging model replied, read tolerantly.

Invariant: a reply from which no single verdict can be read gives None; nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from trajectories.records import Judgement

Side = Literal["1", "2", "both", "neither", ""]
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_VERDICT = re.compile(r"\b(VALID|INVALID|UNCERTAIN)\b")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Opinion:
    """One reply."""

    judgement: Judgement
    supports: Side
    """Which of the two contexts it takes for the one that supports the answer; empty where it does not say."""
    reasons: tuple[str, ...]


def read_opinion(text: str) -> Opinion | None:
    """The opinion in a reply: the last JSON object with a verdict, or else the only verdict that stands there."""
    said = _THOUGHTS.sub("", text)
    for found in reversed(list(_objects(said))):
        verdict = str(found.get("verdict", "")).strip().upper()
        if verdict in ("VALID", "INVALID", "UNCERTAIN"):
            return Opinion(cast(Judgement, verdict.lower()), _side(found.get("supports")), _reasons(found))
    named = set(_VERDICT.findall(said))
    if len(named) != 1:
        return None
    reason = " ".join(said.split())
    return Opinion(cast(Judgement, named.pop().lower()), "", (reason[:300],))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, also with text around them."""
    place = text.find("{")
    while place >= 0:
        try:
            found, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(found, dict):
                yield found
        place = text.find("{", end)


def _side(value: object) -> Side:
    said = str(value).strip().lower().removeprefix("context").strip()
    return cast(Side, said) if said in ("1", "2", "both", "neither") else ""


def _reasons(found: dict[str, Any]) -> tuple[str, ...]:
    reasons = found.get("reasons", found.get("reason", []))
    listed = reasons if isinstance(reasons, list) else [reasons]
    return tuple(" ".join(str(reason).split()) for reason in listed if str(reason).strip())
