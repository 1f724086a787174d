"""Sequences as one row: without padding, and what several of them begin with is there once.

Invariant: each token of each sequence has a place in the row, after all tokens before it; two sequences share a place
only where they are equal up to it. So a causal model whose places see their own sequence's places only, at their own
positions, says of the row what it says of each sequence alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.attention import Run

Ids = Sequence[int]


@dataclass(frozen=True)
class Row:
    """N places."""

    ids: Tensor
    """[N] int64."""
    positions: Tensor
    """[N] int64: how many tokens come before it in its sequences."""
    parents: Tensor
    """[N] int64: the place of the token before; -1 where a sequence begins."""
    runs: tuple[Run, ...]
    """What each part of the row may see; together they are the row."""
    paths: tuple[Tensor, ...]
    """For each sequence the places of its tokens, [T] int64."""

    def __len__(self) -> int:
        return len(self.ids)


def pack(sequences: Sequence[Ids], device: torch.device) -> Row:
    """One row of all sequences, shared beginnings once. Raises `ValueError` without one, and for an empty one."""
    if not sequences or not all(sequences):
        raise ValueError("a row needs at least one sequence, and none without tokens")
    arrays = [np.asarray(ids, dtype=np.int64) for ids in sequences]
    paths: dict[int, np.ndarray] = {}
    ids, positions, parents, runs = list[np.ndarray](), list[np.ndarray](), list[np.ndarray](), list[Run]()
    size, last = 0, -1
    for index in _alike(sequences):
        shared = _common(arrays[last], arrays[index]) if paths else 0
        own = len(arrays[index]) - shared
        before = paths[last][:shared] if shared else np.zeros(0, dtype=np.int64)
        places = np.arange(size, size + own)
        paths[index] = np.concatenate([before, places])
        if own:
            ids.append(arrays[index][shared:])
            positions.append(np.arange(shared, shared + own))
            parents.append(np.concatenate([before[-1:] if shared else [-1], places[:-1]]))
            runs.append(Run(size, size + own, _ranges(before)))
        size, last = size + own, index
    ids_, positions_, parents_ = (torch.from_numpy(np.concatenate(x)).to(device) for x in (ids, positions, parents))
    found = tuple(torch.from_numpy(paths[i]).to(device) for i in range(len(sequences)))
    return Row(ids_, positions_, parents_, tuple(runs), found)


def cut(sequences: Sequence[Ids], max_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of at most `max_tokens` places, those that begin alike together. Largest batch first.

    A sequence that is longer comes alone. Largest first: where memory is short, it shows at once.
    """
    batches: list[tuple[int, list[int]]] = []
    for index in _alike(sequences):
        size, batch = batches[-1] if batches else (0, [])
        own = len(sequences[index]) - (_shared(sequences[batch[-1]], sequences[index]) if batch else 0)
        if batch and size + own <= max_tokens:
            batch.append(index)
            batches[-1] = size + own, batch
        else:
            batches.append((len(sequences[index]), [index]))
    for _, batch in sorted(batches, key=lambda one: -one[0]):
        yield batch


def _alike(sequences: Sequence[Ids]) -> list[int]:
    """In the order of dictionaries, in which each shares most with its neighbours."""
    return sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))


def _shared(one: Ids, other: Ids) -> int:
    return _common(np.asarray(one, dtype=np.int64), np.asarray(other, dtype=np.int64))


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """How many tokens both begin with."""
    n = min(len(one), len(other))
    differs = np.flatnonzero(one[:n] != other[:n])
    return int(differs[0]) if len(differs) else n


def _ranges(places: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Rising places as ranges."""
    if not len(places):
        return ()
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    return tuple((int(part[0]), int(part[-1]) + 1) for part in np.split(places, breaks))
