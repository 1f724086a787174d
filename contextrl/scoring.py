"""What a causal language model says about given tokens, at the positions that are asked for and no others.

Invariant: the numbers are those of `model(input_ids).logits`; only memory differs. Logits of prompt tokens are never
made, and those of a large vocabulary are made a chunk at a time and again in the backward pass. Sequences are padded
on the right, where causal attention cannot see the padding, so no attention mask is needed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.utils.checkpoint import checkpoint

CHUNK_LOGITS = 1 << 25
"""Logits alive at once in one chunk (128 MiB in float32)."""
MAX_LOG = 20.0
"""Bound on differences of log-probabilities before they are exponentiated."""


class Scorer:
    """A policy as the objectives see it: any causal language model of transformers, or one that is called alike."""

    def __init__(
        self,
        model: nn.Module,
        *,
        autocast: bool = False,
        temperature: float = 1.0,
        chunk_logits: int = CHUNK_LOGITS,
    ) -> None:
        """`temperature` is the one that rollouts are sampled at: log-probabilities are of the tempered distribution."""
        if temperature <= 0:
            raise ValueError(f"the sampling temperature must be above 0 to learn from samples, not {temperature}")
        self.model: Any = model
        self._autocast, self._temperature, self._chunk_logits = autocast, temperature, chunk_logits
        self._head: Any = _plain_head(self.model, self.device)

    @property
    def device(self) -> torch.device:
        """Where the model's inputs belong."""
        parameter: Tensor = next(iter(self.model.parameters()))
        return parameter.device

    def token_logprobs(self, ids: Tensor, select: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of each selected token given those before it, and the entropy there (nats, no gradient).

        ids, select: [B, T]; `select` must be False in column 0, which nothing predicts. Returns two of [N], in the
        order of `select.nonzero()`.
        """
        features = self._features(ids, select.roll(-1, dims=1))
        targets = ids[select]
        rows = max(1, self._chunk_logits // self._vocabulary)
        if len(targets) <= rows:
            return self._score(features, targets)
        parts = [
            checkpoint(self._score, f, t, use_reentrant=False)
            for f, t in zip(torch.split(features, rows), torch.split(targets, rows), strict=True)
        ]
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def next_logits(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits of the token that follows each sequence, not tempered. ids [B, T], lengths [B] -> [B, V] float32."""
        last = torch.arange(ids.shape[1], device=ids.device) == lengths[:, None] - 1
        return self._logits(self._features(ids, last))

    @property
    def _vocabulary(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[0])

    def _precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._autocast)

    def _features(self, ids: Tensor, select: Tensor) -> Tensor:
        """Hidden states [N, H] at the selected positions, or logits [N, V] where the head does more than multiply."""
        with self._precision():
            if self._head is not None:
                hidden: Tensor = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
                return hidden[select]
            keep = select.any(0).nonzero()[:, 0]
            logits: Tensor = self.model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits
            return logits[select[:, keep]]

    def _logits(self, features: Tensor) -> Tensor:
        """The product with the output layer has the precision of its weights: bfloat16 is too coarse for margins."""
        with torch.autocast(self.device.type, enabled=False):
            logits: Tensor = features if self._head is None else self._head(features.to(self._head.weight.dtype))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _score(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logprobs = log_softmax(self._logits(features) / self._temperature, -1)
        with torch.no_grad():
            entropy = -(logprobs.exp() * logprobs).sum(-1)
        return logprobs.gather(-1, targets[:, None])[:, 0], entropy


@torch.no_grad()
def _plain_head(model: Any, device: torch.device) -> Any:
    """The output layer, if logits are just its product with the last hidden state; None if the model does more.

    Some architectures cap or scale their logits; this is found out on four tokens rather than assumed.
    """
    ids = torch.arange(4, device=device)[None]
    hidden = getattr(model.base_model(input_ids=ids, use_cache=False), "last_hidden_state", None)
    head = model.get_output_embeddings()
    if hidden is None or head is None:
        return None
    logits = model(input_ids=ids, use_cache=False).logits
    return head if torch.allclose(head(hidden), logits, rtol=1e-3, atol=1e-4) else None


def k3(log_ratio: Tensor) -> Tensor:
    """Schulman's k3 estimate, exp(x) - x - 1: for tokens drawn from p and x = log q - log p, its mean is KL(p || q)."""
    x = log_ratio.clamp(-MAX_LOG, MAX_LOG)
    return x.exp() - x - 1
