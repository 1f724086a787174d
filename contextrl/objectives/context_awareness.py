"""The context-awareness loss (paper 1).

Invariant: `L_CA = -log sigmoid(clip(D, -c, c))` with the margin `D = l+ - l-` of the next-token logits of the two
option letters at the answer position; nothing is sampled, and the mean is over the pairs of the whole minibatch. A pair
in both letter orders counts as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from contextrl.batching import most_tokens
from contextrl.choice import ChoicePrompt, PairResult
from contextrl.config import ContextConfig
from contextrl.objectives.protocol import Feed, Prepared, Terms
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


def margins(logits: Tensor, letters: Tensor) -> Tensor:
    """D = l+ - l-. logits [B, V], letters [B, 2] -> [B]."""
    plus, minus = logits.gather(1, letters).unbind(1)
    return plus - minus


class ContextAwareness:
    """The context-awareness term over mined pairs."""

    name = "ca"
    feed: Feed = "pairs"

    def __init__(self, config: ContextConfig) -> None:
        """Reads `clip` and `low_side`."""
        self._c = config.clip
        self._floor = -config.clip if config.low_side == "clip" else None

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

    def loss(self, policy: Scorer, batch: PairBatch) -> Terms:
        """Mean clipped logistic loss of the margin. Tensors below are [B]."""
        logits = policy.next_logits(batch.row)
        margin = margins(logits, batch.letters)
        loss = -logsigmoid(margin.clamp(self._floor, self._c))
        d = margin.detach()
        chose_a = torch.sigmoid(torch.where(batch.anchor_first, d, -d))
        letter_mass = logits.detach().softmax(-1).gather(1, batch.letters).sum(1)

        def mean(values: Tensor) -> float:
            return float((batch.weights * values).sum())

        metrics = {
            "selection_accuracy": mean(0.5 * ((d > 0).float() + (d >= 0).float())),
            "margin": mean(d),
            "clipped_low": mean(d <= -self._c),
            "clipped_high": mean(d >= self._c),
            "p_a": mean(chose_a),
            "letter_mass": mean(letter_mass),
        }
        results = tuple(
            PairResult(p.pair_id, p.anchor_first, m) for p, m in zip(batch.prompts, d.tolist(), strict=True)
        )
        return Terms((batch.weights * loss).sum(), metrics, results)


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
