"""What the paper measured (arXiv 2606.17053, Figure 2): selection accuracy on its 200 agentic and 200 visual pairs.

Other pairs than a user's own: a place to look from, not a comparison.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One model of the figure."""

    model: str
    agent: float
    multimodal: float


FIGURE_2 = (
    Published("GPT-5.4", 0.990, 0.840),
    Published("Opus 4.7", 0.980, 0.830),
    Published("Qwen3 (VL) 8B", 0.580, 0.595),
    Published("Qwen3.5 9B", 0.525, 0.575),
)
TITLE = "the paper, on its own 200 + 200 pairs (Figure 2)"
