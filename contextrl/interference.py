"""Whether the terms of the loss pull together.

Invariant: gradients are taken apart without a copy of any, and put together again to what they would have been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from contextrl.ranks import whole


class Interference:
    """Of one optimiser step: `take` after each term, `put_back` after the last."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self._parts: dict[str, list[Tensor | None]] = {}

    def take(self, name: str) -> None:
        """What has been accumulated is this term's gradient."""
        self._parts[name] = [p.grad for p in self._parameters]
        for p in self._parameters:
            p.grad = None

    def put_back(self) -> dict[str, float]:
        """Add all up; the norm of each term's gradient, and the cosine between every two that have one."""
        names = list(self._parts)
        dots = {(a, b): _dot(self._parts[a], self._parts[b]) for i, a in enumerate(names) for b in names[i:]}
        for part in self._parts.values():
            for p, gradient in zip(self._parameters, part, strict=True):
                p.grad = gradient if p.grad is None else p.grad if gradient is None else p.grad.add_(gradient)
        norms = {name: math.sqrt(dots[name, name]) for name in names}
        found = {f"{name}/grad_norm": norm for name, norm in norms.items()}
        for (a, b), dot in dots.items():
            if a != b and norms[a] and norms[b]:
                found[f"learner/cosine_{a}_{b}"] = dot / (norms[a] * norms[b])
        return found


def _dot(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> float:
    both = ((a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None)
    return sum(float(whole((a * b).sum())) for a, b in both)
