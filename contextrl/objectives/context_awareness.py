"""The context-awareness loss (paper 1).

Invariant: `L_CA = -log sigmoid(clip(D, -c, c))` with the margin `D = l+ - l-` of the next-token logits of the two
option letters at the answer position; nothing is sampled, and the mean is over the pairs of the whole minibatch. A pair
in both letter orders counts as one.
"""

from __future__ import annotations

from torch.nn.functional import logsigmoid

from contextrl.config import ContextConfig
from contextrl.objectives.pairs import OverPairs, PairBatch, margins, selection
from contextrl.objectives.protocol import Terms
from contextrl.scoring import Scorer


class ContextAwareness(OverPairs):
    """The context-awareness term over mined pairs."""

    def __init__(self, config: ContextConfig) -> None:
        """Reads `clip` and `low_side`."""
        self._c = config.clip
        self._floor = -config.clip if config.low_side == "clip" else None

    def loss(self, policy: Scorer, batch: PairBatch) -> Terms:
        """Mean clipped logistic loss of the margin. Tensors below are [B]."""
        logits = policy.next_logits(batch.row)
        margin = margins(logits, batch.letters)
        loss = -logsigmoid(margin.clamp(self._floor, self._c))
        metrics, results = selection(batch, logits)
        metrics |= {"clipped_low": batch.mean(margin <= -self._c), "clipped_high": batch.mean(margin >= self._c)}
        return Terms((batch.weights * loss).sum(), metrics, results)
