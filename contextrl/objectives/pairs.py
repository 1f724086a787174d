"""What all objectives over pairs share: prompts in micro-batches, and what the policy chose.

Invariant: every pair has the same weight, shared by its letter orders, and the weights of a minibatch add up to 1;
selection is measured alike whatever is learned. In a run there is one term over pairs, and its metrics are `ca/...`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from contextrl.batching import most_tokens
from contextrl.choice import ChoicePrompt, PairResult
from contextrl.objectives.protocol import Feed, Prepared
from contextrl.packing import Row, cut, pack
from contextrl.scoring import Scorer

Orders = tuple[ChoicePrompt, ...]
"""The prompts of one pair: one letter order or both."""


@dataclass(frozen=True)
class PairBatch:
    """A micro-batch of choice prompts."""

    prompts: list[ChoicePrompt]
    row: Row
    letters: Tensor
    """[B, 2] token ids: the anchor's letter, the confounder's."""
    anchor_first: Tensor
    """[B] bool."""
    weights: Tensor
    """[B] float32; they add up to 1 over the minibatch."""

    def mean(self, values: Tensor) -> float:
        """This micro-batch's part of a mean over pairs; values [B]."""
        return float((self.weights * values.detach()).sum())


class OverPairs:
    """An objective over pairs but for its loss."""

    name = "ca"
    feed: Feed = "pairs"

    def prepare(
        self, data: Sequence[ChoicePrompt], policy: Scorer, reference: Scorer | None, max_tokens: int
    ) -> Prepared:
        """Put the letter orders of a pair together, so that they go into the same step."""
        pairs: dict[str, list[ChoicePrompt]] = {}
        for prompt in data:
            pairs.setdefault(prompt.pair_id, []).append(prompt)
        return Prepared([tuple(p) for p in pairs.values()], {"pairs": len(pairs)})

    def batches(self, items: Sequence[Orders], max_tokens: int, device: torch.device) -> Iterator[PairBatch]:
        """Micro-batches of one minibatch of pairs."""
        return pair_batches([p for orders in items for p in orders], max_tokens, device)


def margins(logits: Tensor, letters: Tensor) -> Tensor:
    """D = l+ - l-. logits [B, V], letters [B, 2] -> [B]."""
    plus, minus = logits.gather(1, letters).unbind(1)
    return plus - minus


def selection(batch: PairBatch, logits: Tensor) -> tuple[dict[str, float], tuple[PairResult, ...]]:
    """What the policy chose, from its logits [B, V] at the answer position: metrics (parts of means), results."""
    with torch.no_grad():
        d = margins(logits, batch.letters)
        metrics = {
            "selection_accuracy": batch.mean(0.5 * ((d > 0).float() + (d >= 0).float())),
            "margin": batch.mean(d),
            "p_a": batch.mean(torch.sigmoid(torch.where(batch.anchor_first, d, -d))),
            "letter_mass": batch.mean(logits.softmax(-1).gather(1, batch.letters).sum(1)),
        }
    chosen = zip(batch.prompts, d.tolist(), strict=True)
    return metrics, tuple(PairResult(p.pair_id, p.anchor_first, m) for p, m in chosen)


def pair_batches(prompts: Sequence[ChoicePrompt], max_tokens: int, device: torch.device) -> Iterator[PairBatch]:
    """Cut prompts into micro-batches. Every pair has the same weight, shared by its letter orders.

    What prompts begin with alike (the question and the answer of a pair's two orders) is computed once.
    """
    orders = Counter(p.pair_id for p in prompts)
    for indices in cut([p.ids for p in prompts], most_tokens(max_tokens, device)):
        rows = [prompts[i] for i in indices]
        yield PairBatch(
            prompts=rows,
            row=pack([p.ids for p in rows], device),
            letters=torch.tensor([(p.anchor_letter, p.confounder_letter) for p in rows], device=device),
            anchor_first=torch.tensor([p.anchor_first for p in rows], device=device),
            weights=torch.tensor([1 / (len(orders) * orders[p.pair_id]) for p in rows], device=device),
        )


@torch.no_grad()
def select(policy: Scorer, prompts: Sequence[ChoicePrompt], max_tokens: int) -> list[PairResult]:
    """What the policy chooses, without learning: the context probe. In the order of the micro-batches."""
    results: list[PairResult] = []
    for batch in pair_batches(prompts, max_tokens, policy.device):
        d = margins(policy.next_logits(batch.row), batch.letters).tolist()
        results += [PairResult(p.pair_id, p.anchor_first, m) for p, m in zip(batch.prompts, d, strict=True)]
    return results
