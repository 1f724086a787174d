"""A Gymnasium space of any text.

Invariant: every str of at most `max_length` characters is in it. `gymnasium.spaces.Text` allows letters and digits
only by default, no space and no newline, and needs seconds and 46 MB for all of Unicode.
"""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

SAMPLE_CHARS = 32


class AnyText(spaces.Text):
    """Text without a character set. Samples are short and alphanumeric."""

    def __init__(self, max_length: int = 1 << 20, *, seed: int | None = None) -> None:
        super().__init__(max_length=max_length, min_length=0, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether it is text, and not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """At most 32 letters and digits."""
        length = int(self.np_random.integers(1, min(SAMPLE_CHARS, self.max_length) + 1))
        return "".join(self.np_random.choice(self.character_list, size=length))
