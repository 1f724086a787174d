"""The tokens of a turn, coloured by how sure the sampler was, by advantage, or by how trainer and sampler disagree.

Invariant: a token's colour is one of `STEPS` classes, its value is said beside it, and where a value is not known the
token has no colour.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trajectories.queries import Lesson
from trajectories.records import Trajectory
from trajectories.store import SQLStore
from trajectories.viewer.asking import Mistake

STEPS = 21
"""Odd, so that one of them stands for nothing between two colours."""
BY = {"logprob": "log-probability", "advantage": "advantage", "mismatch": "trainer less sampler"}
"""What tokens are coloured by."""
FARTHEST = {"logprob": -4.75, "advantage": 2.0, "mismatch": 0.5}
"""The value that has the strongest colour, and all beyond it."""
AT_ONCE = 3_000
"""Tokens of a piece."""
_EVALUATIONS = (".before", ".after")


class Token(NamedTuple):
    """One token as it is shown."""

    text: str
    css: str
    value: float | None
    number: int
    """Its id in the vocabulary."""


class Tokens(NamedTuple):
    """A piece of a turn's tokens."""

    shown: list[Token]
    start: int
    total: int
    texts: bool
    """Whether a tokenizer told the texts."""
    why: str
    """Why there are no values, as a sentence; empty where there are."""


def tokens_of(
    trajectory: Trajectory, turn: int, by: str, lesson: Lesson | None, tokenizer: Any, start: int = 0
) -> Tokens:
    """Tokens that turn number `turn` (from 1) sampled, from `start` on. Raises `Mistake`."""
    if not 1 <= turn <= len(trajectory.turns):
        raise Mistake(f"There is no turn {turn} in trajectory {trajectory.id}.")
    ids = trajectory.turns[turn - 1].completion_ids
    values, why = _values(trajectory, turn, by, lesson)
    texts = decoded(tokenizer, ids) if tokenizer is not None else [str(i) for i in ids]
    css = coloured(by)
    shown = [
        Token(text, "" if value is None else css(value), value, number)
        for text, value, number in zip(texts, values, ids, strict=True)
    ]
    return Tokens(shown[start : start + AT_ONCE], start, len(ids), tokenizer is not None, why)


def _values(trajectory: Trajectory, turn: int, by: str, lesson: Lesson | None) -> tuple[Sequence[float | None], str]:
    own = trajectory.turns[turn - 1]
    count = len(own.completion_ids)
    sampler: Sequence[float] = own.logprobs
    if by == "advantage":
        known = lesson.advantage if lesson else None
        return [known] * count, "" if known is not None else "Its advantage was not kept: nobody learned from it yet."
    if len(sampler) != count:
        return [None] * count, "The sampler's log-probabilities were not kept."
    if by == "logprob":
        return list(sampler), ""
    before = sum(len(t.completion_ids) for t in trajectory.turns[: turn - 1])
    trainer = lesson.logprobs[before : before + count] if lesson else []
    if len(trainer) != count:
        return [None] * count, "The trainer's log-probabilities were not kept: nobody learned from it yet."
    return [t - s for t, s in zip(trainer, sampler, strict=True)], ""


def coloured(by: str) -> Callable[[float], str]:
    """From a value to a class: `s0` ... of one colour, or `v0` ... from one to another by way of none."""
    farthest = FARTHEST[by]

    def one(value: float) -> str:
        share = min(1.0, max(0.0, value / farthest))
        return "" if math.isnan(value) else f"s{round(share * (STEPS - 1))}"

    def both(value: float) -> str:
        share = min(1.0, max(-1.0, value / farthest))
        return "" if math.isnan(value) else f"v{round((share + 1) / 2 * (STEPS - 1))}"

    return one if by == "logprob" else both


def scale(by: str) -> list[tuple[str, str]]:
    """Class and value of each step, the least first."""
    farthest, css = FARTHEST[by], coloured(by)
    low = 0.0 if by == "logprob" else -farthest
    values = [low + (farthest - low) * i / (STEPS - 1) for i in range(STEPS)]
    return [(css(value), f"{value:.2g}") for value in values]


def decoded(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text that each token adds; of a character of several tokens the last has it all."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=False)
    return [stream.step(tokenizer, i) or "" for i in ids]


def tokenizer_of(store: SQLStore, run: str) -> Any:
    """The run's `tokenizers.Tokenizer`; None where it was not kept, or the library is not there."""
    names = [run, *(run.removesuffix(end) for end in _EVALUATIONS if run.endswith(end))]
    for name in names:
        for found in store.findings("tokenizer", name, limit=1):
            text = found.document.get("tokenizer_json")
            return read_tokenizer(text if isinstance(text, str) else json.dumps(text))
    return None


def read_tokenizer(text: str) -> Any:
    """What `tokenizers` makes of a tokenizer.json; None where it cannot."""
    try:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(text)
    except Exception:  # the library raises its own kind for every fault: ids are shown then
        return None


def stylesheet() -> str:
    """The classes of the steps."""
    rules = []
    for i in range(STEPS):
        strong = round(70 * i / (STEPS - 1))
        rules.append(f".s{i}{{background:color-mix(in srgb,var(--bad) {strong}%,transparent)}}")
        away = 2 * i / (STEPS - 1) - 1
        colour = "good" if away > 0 else "bad"
        rules.append(f".v{i}{{background:color-mix(in srgb,var(--{colour}) {round(70 * abs(away))}%,transparent)}}")
    return "\n".join(rules) + "\n"
