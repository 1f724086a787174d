"""What may be spent on a language model.

Invariant: at no time do the requests made, those under way included, exceed a limit by more than what the estimate of
one request was wrong by. Thread-safe.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


class BudgetExhausted(RuntimeError):
    """The next request would cost more than is left; what was answered before stays in the cache."""


@dataclass
class Budget:
    """Limits and what was spent. None is no limit; what the cache answers costs nothing.

    Every attempt is a request, also one that failed. Raises `ValueError` for limits in dollars without prices.
    """

    max_requests: int | None = None
    max_tokens: int | None = None
    """Of prompts and completions together."""
    max_dollars: float | None = None
    prompt_price: float = 0.0
    """Dollars for a million tokens."""
    completion_price: float = 0.0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    _held: list[tuple[int, int]] = field(default_factory=list, repr=False)
    """Estimates of what is under way: prompt and completion tokens."""
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be kept."""
        if self.max_dollars is not None and not (self.prompt_price or self.completion_price):
            raise ValueError("a budget in dollars needs the model's prices: give prompt_price and completion_price")
        for name in ("max_requests", "max_tokens", "max_dollars"):
            if (limit := getattr(self, name)) is not None and limit < 0:
                raise ValueError(f"{name} of a budget is {limit}: it must be at least 0")

    @property
    def tokens(self) -> int:
        """Tokens spent."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def dollars(self) -> float:
        """Dollars spent."""
        return self._cost(self.prompt_tokens, self.completion_tokens)

    def hold(self, prompt: int, completion: int) -> None:
        """Set aside what a request may cost; waits while others hold too much. Raises `BudgetExhausted`."""
        with self._changed:
            while problem := self._lacks(prompt, completion):
                if not self._held or "requests" in problem:
                    raise BudgetExhausted(f"the budget is used up: {problem}")
                self._changed.wait()
            self.requests += 1
            self._held.append((prompt, completion))

    def settle(self, prompt: int, completion: int, used: tuple[int, int] = (0, 0)) -> None:
        """Give back what `hold` set aside, and count what was used."""
        with self._changed:
            self._held.remove((prompt, completion))
            self.prompt_tokens += used[0]
            self.completion_tokens += used[1]
            self._changed.notify_all()

    def _lacks(self, prompt: int, completion: int) -> str:
        """What there is not enough of for one more request; empty when there is enough."""
        held = [sum(column) for column in zip((prompt, completion), *self._held, strict=True)]
        if self.max_requests is not None and self.requests >= self.max_requests:
            return f"{self.requests} of {self.max_requests} requests are made"
        if self.max_tokens is not None and self.tokens + sum(held) > self.max_tokens:
            return f"{self.tokens} of {self.max_tokens} tokens are spent, and the next request may need {sum(held)}"
        if self.max_dollars is not None and self.dollars + self._cost(held[0], held[1]) > self.max_dollars:
            return f"{self.dollars:.4f} of {self.max_dollars:.4f} dollars are spent, and the next request may go beyond"
        return ""

    def _cost(self, prompt: int, completion: int) -> float:
        return (prompt * self.prompt_price + completion * self.completion_price) / 1e6
