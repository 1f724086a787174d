"""Plain language modelling of the pairs' tokens: the same data without the objective.

Invariant: every token of a prompt but its first is predicted from those before it; the letter, which the prompt does
not hold, is not. The loss is each prompt's mean, and every pair weighs the same. Log-probabilities are those of the
distribution that rollouts sample from.
"""

from __future__ import annotations

import torch

from contextrl.objectives.pairs import OverPairs, PairBatch, selection
from contextrl.objectives.protocol import Terms
from contextrl.scoring import Scorer


class Language(OverPairs):
    """The pairs as text."""

    def loss(self, policy: Scorer, batch: PairBatch) -> Terms:
        """Mean negative log-probability of the prompts' tokens. What they share is scored once and counts for each."""
        paths = [path[1:] for path in batch.row.paths]
        places, which = torch.unique(torch.cat(paths), return_inverse=True)
        logprobs = policy.token_logprobs(batch.row, places)[0][which]
        counts = torch.tensor([len(path) for path in paths], device=logprobs.device)
        weights = (batch.weights / counts.clamp(min=1)).repeat_interleave(counts)
        with torch.no_grad():
            chosen = selection(batch, policy.next_logits(batch.row))
        return Terms(-(weights * logprobs).sum(), *chosen)
