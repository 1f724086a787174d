"""What a causal language model says about given tokens, at the places that are asked for and no others.

Invariant: the numbers are those of `model(input_ids).logits` of each sequence alone; only time and memory differ.
Logits of prompt tokens are never made, and those of a large vocabulary are made a chunk at a time and again in the
backward pass. What sequences share is computed once where the model's attention allows it; elsewhere sequences are
padded on the right, where causal attention cannot see the padding, so no attention mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, pad
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import checkpoint

from agents import attention
from contextrl.packing import Row, pack

CHUNK_LOGITS = 1 << 25
"""Logits alive at once in one chunk (128 MiB in float32)."""
MAX_LOG = 20.0
"""Bound on differences of log-probabilities before they are exponentiated."""
_TRIED = ([0, 1, 2, 3], [0, 1, 3], [2, 1])
"""Sequences on which it is found out what a model can do. Some cap or scale their logits, some have no attention."""


class Root(nn.Module):
    """All that a model is asked passes through here, so that it can be sharded as one (`contextrl.ranks`)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[..., Any], *args: Any) -> Any:
        """What `work` gives, while the weights are whole."""
        found = work(*args)
        # Where weights are gathered again for the backward pass, that hangs on what is returned: no views, then.
        return tree_map(torch.clone, found) if hasattr(self, "unshard") else found


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
        self.packs = self._head is not None and _packs(self.model, self.device)
        self.root = Root(model)

    @property
    def temperature(self) -> float:
        """What rollouts are sampled at."""
        return self._temperature

    @property
    def device(self) -> torch.device:
        """Where the model's inputs belong."""
        parameter: Tensor = next(iter(self.model.parameters()))
        return parameter.device

    def token_logprobs(self, row: Row, places: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of each token at `places` given those before it, and the entropy there (nats, no gradient).

        places: [K], none of them where a sequence begins, which nothing predicts. Returns two of [K].
        """
        found: tuple[Tensor, Tensor] = self.root(self._token_logprobs, row, places)
        return found

    def next_logits(self, row: Row) -> Tensor:
        """Logits of the token that follows each sequence, not tempered: [B, V] float32."""
        found: Tensor = self.root(self._next_logits, row)
        return found

    def _token_logprobs(self, row: Row, places: Tensor) -> tuple[Tensor, Tensor]:
        features, targets = self._features(row, row.parents[places]), row.ids[places]
        rows = max(1, self._chunk_logits // self._vocabulary)
        if len(targets) <= rows:
            return self._score(features, targets)
        parts = [
            checkpoint(self._score, f, t, use_reentrant=False)
            for f, t in zip(torch.split(features, rows), torch.split(targets, rows), strict=True)
        ]
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def _next_logits(self, row: Row) -> Tensor:
        return self._logits(self._features(row, torch.stack([path[-1] for path in row.paths])))

    @property
    def _vocabulary(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[0])

    def _precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._autocast)

    def _features(self, row: Row, places: Tensor) -> Tensor:
        """Hidden states [K, H] at these places, or logits [K, V] where the head does more than multiply."""
        with self._precision():
            if self.packs:
                return _hidden(self.model, row)[places]
            ids, where = _padded(row)
            if self._head is not None:
                hidden: Tensor = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
                return hidden.flatten(0, 1)[where[places]]
            columns = torch.unique(where[places] % ids.shape[1])
            logits: Tensor = self.model(input_ids=ids, use_cache=False, logits_to_keep=columns).logits
            column = torch.searchsorted(columns, where[places] % ids.shape[1])
            return logits[where[places] // ids.shape[1], column]

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


def _hidden(model: Any, row: Row) -> Tensor:
    """Hidden states [N, H] of a row."""
    options = attention.for_row(row.runs, row.ids.device)
    inputs = {"input_ids": row.ids[None], "position_ids": row.positions[None]}
    hidden: Tensor = model.base_model(**inputs, **options, use_cache=False).last_hidden_state
    return hidden[0]


def _padded(row: Row) -> tuple[Tensor, Tensor]:
    """Each sequence in a row of its own [B, T], and where in that, counted row by row, each place is: [N]."""
    longest = max(len(path) for path in row.paths)
    ids = torch.stack([pad(row.ids[path], (0, longest - len(path))) for path in row.paths])
    where = torch.zeros_like(row.ids)
    for index, path in enumerate(row.paths):
        where[path] = index * longest + torch.arange(len(path), device=path.device)
    return ids, where


@torch.no_grad()
def _plain_head(model: Any, device: torch.device) -> Any:
    """The output layer, if logits are just its product with the last hidden state; None if the model does more."""
    ids = torch.tensor(_TRIED[:1], device=device)
    hidden = getattr(model.base_model(input_ids=ids, use_cache=False), "last_hidden_state", None)
    head = model.get_output_embeddings()
    if hidden is None or head is None:
        return None
    logits = model(input_ids=ids, use_cache=False).logits
    return head if torch.allclose(head(hidden), logits, rtol=1e-3, atol=1e-4) else None


@torch.no_grad()
def _packs(model: Any, device: torch.device) -> bool:
    """Whether the model says of a row of several sequences what it says of each alone."""
    if not attention.knows_runs(model):
        return False
    row = pack(_TRIED, device)
    try:
        packed = _hidden(model, row)
    except (NotImplementedError, TypeError):
        return False
    alone = (model.base_model(input_ids=row.ids[p][None], use_cache=False).last_hidden_state[0] for p in row.paths)
    return all(torch.allclose(packed[p], one, rtol=1e-3, atol=1e-4) for p, one in zip(row.paths, alone, strict=True))


def k3(log_ratio: Tensor) -> Tensor:
    """Schulman's k3 estimate, exp(x) - x - 1: for tokens drawn from p and x = log q - log p, its mean is KL(p || q)."""
    x = log_ratio.clamp(-MAX_LOG, MAX_LOG)
    return x.exp() - x - 1
