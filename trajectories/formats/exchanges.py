"""What belongs together in a list of messages, events or results.

Invariant: nothing is left out: what no call asked for belongs to the last one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def exchanges(items: Sequence[Item], is_models: Callable[[Item], bool]) -> Iterator[tuple[Item, list[Item]]]:
    """Each item of the model's, with what came before the next one."""
    starts = [i for i, item in enumerate(items) if is_models(item)]
    for start, end in zip(starts, [*starts, len(items)][1:], strict=True):
        yield items[start], list(items[start + 1 : end])


def by_call(ids: Sequence[str], answers: Sequence[Item], named: Callable[[Item], object]) -> list[list[Item]]:
    """What came back to each call: by the id that an answer names, else in order. One list where there is no call."""
    parts: list[list[Item]] = [[] for _ in ids or [""]]
    for i, answer in enumerate(answers):
        name = named(answer)
        place = ids.index(name) if isinstance(name, str) and name and name in ids else min(i, len(parts) - 1)
        parts[place].append(answer)
    return parts
