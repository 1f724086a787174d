"""A key-value cache for many sessions at once.

Invariant: slot t of row r holds the keys and values of token t of the session that owns row r. So a query at position p
may see exactly the slots 0..p of its own row: the mask follows from the positions alone, rows of any lengths share
a batch without padding between their tokens, and what lies beyond a row's last token is never seen before it is
overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

ROOM = 64
"""Rows grow in steps of this many slots, so that buffers are rarely moved."""


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, two `buffers` of shape [rows, kv heads, slots, head dim] (none before use)."""

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cache = cache
        self.buffers: list[Tensor] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate on the first write: only then are the head count, the head size and the dtype known."""
        size = self.cache.rows, self.cache.slots
        self.buffers = [_grown(None, key_states, *size), _grown(None, value_states, *size)]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write [B, H, Q, D] at the selected rows and positions; the rows' slots that are seen, [B, H, L, D]."""
        if not self.buffers:
            self.lazy_initialization(key_states, value_states)
        rows, index, positions, seen = self.cache.selection
        keys, values = self.buffers
        keys[index, :, positions] = key_states.transpose(1, 2)
        values[index, :, positions] = value_states.transpose(1, 2)
        return keys[rows, :, :seen], values[rows, :, :seen]

    def get_seq_length(self) -> int:
        """How many slots the selected rows see."""
        return self.cache.selection[3]

    def get_max_length(self) -> int:
        """No limit: buffers grow."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Keys start at slot 0."""
        return self.cache.selection[3], 0


class SlotCache(Cache):
    """A transformers cache whose batch is a selection of rows; see the module's invariant."""

    def __init__(self, layers: int) -> None:
        self.held = [SlotLayer(self) for _ in range(layers)]
        super().__init__(layers=list(self.held))
        self.rows = 0
        self.slots = 0
        self.selection: tuple[slice | Tensor, Tensor, Tensor, int] = (
            slice(0, 0),
            torch.empty(0),
            torch.empty(0),
            0,
        )

    def reserve(self, rows: int, slots: int) -> None:
        """Make sure that there are so many rows and slots; what is held stays."""
        if rows <= self.rows and slots <= self.slots:
            return
        self.rows = max(self.rows, rows)
        if slots > self.slots:
            self.slots = -(-slots // ROOM) * ROOM
        for layer in self.held:
            layer.buffers = [_grown(buffer, buffer, self.rows, self.slots) for buffer in layer.buffers]

    def select(self, rows: int | Sequence[int], positions: Tensor, longest: int) -> int:
        """What the next forward is about: the first `rows` rows (a view: free), or the listed ones (a copy).

        `positions` [B, Q] are the places of its tokens, `longest` is 1 + the largest of them. Returns the number of
        slots that the forward sees, which its mask must have too.
        """
        device = positions.device
        if isinstance(rows, int):
            # A view of whole rows is contiguous, which spares CPU matmuls a copy of it in every step.
            longest = self.slots if longest * 4 > self.slots * 3 else longest
            index = torch.arange(rows, device=device)[:, None]
            self.selection = (slice(0, rows), index, positions, longest)
        else:
            chosen = torch.tensor(rows, device=device)
            self.selection = (chosen, chosen[:, None], positions, longest)
        return longest

    def copy(self, source: int, target: int, length: int) -> None:
        """Give row `target` the first `length` slots of row `source`."""
        for layer in self.held:
            for buffer in layer.buffers:
                buffer[target, :, :length] = buffer[source, :, :length]

    def swap(self, a: int, b: int, length: int) -> None:
        """Exchange two rows' first `length` slots."""
        for layer in self.held:
            for buffer in layer.buffers:
                kept = buffer[a, :, :length].clone()
                buffer[a, :, :length] = buffer[b, :, :length]
                buffer[b, :, :length] = kept


def visible(positions: Tensor, length: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """Additive mask [B, 1, Q, length]: 0 where a query at its position may look, the dtype's minimum elsewhere."""
    slots = torch.arange(length, device=positions.device)
    seen = slots <= positions[..., None]
    if window is not None:
        seen &= slots > positions[..., None] - window
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def _grown(buffer: Tensor | None, like: Tensor, rows: int, slots: int) -> Tensor:
    """A zeroed buffer (never NaN: a masked slot still takes part in 0 * value) with `buffer` in its corner."""
    grown = torch.zeros(rows, like.shape[1], slots, like.shape[3], dtype=like.dtype, device=like.device)
    if buffer is not None:
        grown[: buffer.shape[0], :, : buffer.shape[2]] = buffer
    return grown
