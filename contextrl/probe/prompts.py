"""From questions to exact token ids, for selectors that are given tokens.

Invariant: a server is sent the very token ids that a model in this process would see. A pair that does not fit is cut,
in both letter orders alike, or left out; either is said with the prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from contextrl.choice import ChoiceFormat, ChoicePrompt
from contextrl.probe.fitting import fitted, said
from contextrl.probe.predictions import Question, pair_texts
from contextrl.probe.selector import Choice
from trajectories.records import ContextPair

AT_ONCE = 256
"""Questions whose token ids are in memory at a time."""


@dataclass(frozen=True)
class Asked:
    """A question with its prompt."""

    question: Question
    prompt: ChoicePrompt
    cut: str

    def choice(self, margin: float) -> Choice:
        """What the model made of it."""
        return Choice(self.question, margin=margin, cut=self.cut)


@dataclass(frozen=True)
class Fitted:
    """Both prompts of a pair, the anchor as A first; or why there are none."""

    prompts: tuple[ChoicePrompt, ChoicePrompt] | None
    left_out: str = ""
    cut: str = ""


class Prompts:
    """Makes choice prompts of at most `max_tokens` tokens. Raises `ValueError` if the tokenizer cannot ask."""

    def __init__(self, tokenizer: Any, max_tokens: int, *, cut: bool) -> None:
        """With `cut` the contexts of a pair that is too long lose turns; without, it is left out."""
        self._tokenizer, self._max, self._cut = tokenizer, max_tokens, cut
        self._form = ChoiceFormat(tokenizer, max_tokens)
        self._unlimited = self._form.upto(1 << 62)
        self.letters = self._form.letter_ids
        self._last: tuple[ContextPair, Fitted] | None = None

    def of(self, questions: Iterable[Question]) -> tuple[list[Asked], list[Choice]]:
        """The questions with their prompts, and choices for those that are left out."""
        asked: list[Asked] = []
        left_out: list[Choice] = []
        for question in questions:
            fitted = self._fitted(question.pair)
            if fitted.prompts is None:
                left_out.append(Choice(question, left_out=fitted.left_out))
            else:
                asked.append(Asked(question, fitted.prompts[0 if question.anchor_first else 1], fitted.cut))
        return asked, left_out

    def _fitted(self, pair: ContextPair) -> Fitted:
        """The two orders of a pair come one after the other, and are made together."""
        if self._last is None or self._last[0] is not pair:
            self._last = pair, self._fit(pair)
        return self._last[1]

    def _fit(self, pair: ContextPair) -> Fitted:
        if self._length(pair) <= self._max:
            return Fitted(self._both(pair))
        too_long = f"longer than {self._max:,} tokens"
        if not self._cut:
            return Fitted(None, too_long)
        shorter = fitted(pair, self._max, self._length, self._count)
        return Fitted(self._both(shorter), cut=said(shorter)) if shorter else Fitted(None, f"{too_long}, also when cut")

    def _both(self, pair: ContextPair) -> tuple[ChoicePrompt, ChoicePrompt]:
        first, second = (self._unlimited.prompt(pair, anchor_first) for anchor_first in (True, False))
        assert first and second, "nothing is too long for no limit"
        return first, second

    def _length(self, pair: ContextPair) -> int:
        """Tokens of the longer of its prompts."""
        return max(len(prompt.ids) for prompt in self._both(pair))

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def chunks(questions: Iterable[Question]) -> Iterator[list[Question]]:
    """Questions of like length together, the longest first: where memory is short, it shows at once."""
    ordered = iter(sorted(questions, key=lambda q: (-sum(map(len, pair_texts(q.pair))), q.pair.id)))
    while some := list(islice(ordered, AT_ONCE)):
        yield some
