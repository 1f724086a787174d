"""One forward of a causal language model over chosen rows of a `SlotCache`.

Invariant: any model whose layers all attend (fully, or within a window) gives here what it gives without a cache.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from agents.protocol import EngineError
from agents.slot_cache import SlotCache, visible

ATTENTION = ("grouped", "packed", "eager", "sdpa")
"""Attention implementations that take a mask of their own."""


class CachedModel:
    """A transformers model and the cache of the sessions that it serves."""

    def __init__(self, model: Any) -> None:
        """Raises `EngineError` for a model that is not made of attention layers alone."""
        self.model = model
        self.config = model.config.get_text_config()
        self.kinds = set(getattr(self.config, "layer_types", None) or [])
        if others := self.kinds - {"full_attention", "sliding_attention"}:
            raise EngineError(
                f"the in-process engine caches attention only, and this model has {', '.join(sorted(others))} layers: "
                "serve it with vLLM"
            )
        if model.config._attn_implementation not in ATTENTION:
            raise EngineError(
                f"the in-process engine needs attn_implementation to be one of {', '.join(ATTENTION)}, and this model "
                f"was loaded with {model.config._attn_implementation}"
            )
        names = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"  # as transformers before 5.24 calls it
        self.forget()

    def forget(self) -> None:
        """Start with an empty cache."""
        self.cache = SlotCache(self.config.num_hidden_layers)

    def forward(self, rows: int | list[int], tokens: list[list[int]], places: list[list[int]]) -> Tensor:
        """Logits [B, V] after the last of `tokens` [B, Q], which stand at `places` [B, Q] of their sequences.

        `rows` are the cache rows of the batch: a number stands for the first so many. All tokens are kept in them.
        """
        device = self.model.device
        longest = max(at[-1] for at in places) + 1
        self.cache.reserve(self.cache.rows, longest)
        positions = torch.tensor(places, device=device)
        seen = self.cache.select(rows, positions, longest)
        output = self.model(
            input_ids=torch.tensor(tokens, device=device),
            attention_mask=self._mask(positions, seen),
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: self.cache},
        )
        return output.logits[:, -1]  # type: ignore[no-any-return]

    def _mask(self, positions: Tensor, seen: int) -> Tensor | dict[str, Tensor]:
        """The mask, or one for each kind of layer where the model has several kinds."""
        dtype, window = self.model.dtype, getattr(self.config, "sliding_window", None)
        if "sliding_attention" not in self.kinds:
            return visible(positions, seen, None if self.kinds else window, dtype)
        return {
            "full_attention": visible(positions, seen, None, dtype),
            "sliding_attention": visible(positions, seen, window, dtype),
        }
