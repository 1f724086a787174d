"""Episodes that run out of room (DAPO, arXiv 2503.14476, section 3.4)."""

from __future__ import annotations


def overlong_penalty(tokens: int, longest: int, last: int) -> float:
    """What is added to the reward of an episode: 0, falling to -1 over the `last` tokens before `longest`."""
    if not last or tokens <= longest - last:
        return 0.0
    return -1.0 if tokens > longest else (longest - last - tokens) / last
