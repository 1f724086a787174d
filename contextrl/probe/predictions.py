"""Questions, and what a model made of them: the lines of `predictions.jsonl`.

Invariant: a prediction names the model, the pair, the letter order and the very text that was asked, so that it can be
scored again without the model and is never taken for an answer to another question.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from contextrl.choice import choice_text
from trajectories.records import ContextPair

Orders = Literal["both", "balanced"]
Letter = Literal["A", "B"]
Key = tuple[str, str, bool]
"""Model, pair id, whether the anchor was A."""
KEPT_TEXT = 2000
"""Characters that are kept of what a model wrote."""


@dataclass(frozen=True)
class Question:
    """One pair in one letter order."""

    pair: ContextPair
    anchor_first: bool
    """Whether the anchor is A."""

    @property
    def text(self) -> str:
        """The user message."""
        return choice_text(self.pair, self.anchor_first)

    @cached_property
    def digest(self) -> str:
        """Of the text, 16 hexadecimal digits."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def pair_texts(pair: ContextPair) -> Iterator[str]:
    """The texts of both contexts."""
    for context in (pair.anchor, pair.confounder):
        yield context.problem_statement
        for turn in context.turns:
            yield turn.text
            yield turn.observation


class Prediction(BaseModel):
    """What one model made of one question: a margin, or a letter that it wrote, or neither."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    pair: str
    anchor_first: bool
    question: str
    """`Question.digest` of the whole pair, also where the contexts were cut to fit."""
    margin: float | None = None
    """l+ - l-: logits or log-probabilities (nats), the anchor's letter minus the confounder's. Above 0 is right."""
    letter: Letter | None = None
    """The letter that was read off the model's text, where there is no margin; None where none could be read."""
    text: str = ""
    """What the model wrote, where it was asked to write."""
    left_out: str = ""
    """Why the question could not be put to this model; it then counts nowhere."""
    cut: str = ""
    """What was left out of the contexts so that the prompt fits."""

    @property
    def key(self) -> Key:
        """What a later prediction of the same replaces."""
        return self.model, self.pair, self.anchor_first

    @property
    def parsed(self) -> bool:
        """Whether the answer could be read."""
        return self.margin is not None or self.letter is not None

    @property
    def correct(self) -> float:
        """1.0 right, 0.0 wrong; 0.5 for a tie, and for an answer that could not be read: what guessing would give."""
        if self.margin is not None:
            return 0.5 if self.margin == 0 else float(self.margin > 0)
        return 0.5 if self.letter is None else float((self.letter == "A") == self.anchor_first)

    @property
    def says_a(self) -> float:
        """1.0 if the model names A, 0.0 if B, 0.5 if neither."""
        return self.correct if self.anchor_first else 1.0 - self.correct


def questions(pairs: Sequence[ContextPair], orders: Orders, seed: int) -> list[Question]:
    """Every pair in both letter orders, or once with the anchor as A in half of them (give or take one)."""
    if orders == "both":
        return [Question(pair, anchor_first) for pair in pairs for anchor_first in (True, False)]
    rng = random.Random(f"probe/{seed}")
    firsts = [i % 2 == 0 for i in range(len(pairs))]
    rng.shuffle(firsts)
    return [Question(pair, anchor_first) for pair, anchor_first in zip(pairs, firsts, strict=True)]
