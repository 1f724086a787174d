"""Supervised learning of the right letter: what the paper's DA-SFT baseline puts before GRPO.

Invariant: the loss is the cross-entropy of the anchor's letter among all tokens of the vocabulary at the answer
position, not tempered; every pair weighs the same.
"""

from __future__ import annotations

from contextrl.objectives.pairs import OverPairs, PairBatch, selection
from contextrl.objectives.protocol import Terms
from contextrl.scoring import Scorer


class Imitation(OverPairs):
    """The pairs as questions with their answers."""

    def loss(self, policy: Scorer, batch: PairBatch) -> Terms:
        """Mean negative log-probability of the right letter."""
        logits = policy.next_logits(batch.row)
        right = logits.log_softmax(-1).gather(1, batch.letters[:, :1])[:, 0]
        return Terms(-(batch.weights * right).sum(), *selection(batch, logits))
