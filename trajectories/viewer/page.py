"""What a page is: a template with its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trajectories.viewer.asking import Asked
from trajectories.viewer.opening import Source


class Page(NamedTuple):
    """What is to be shown. `live`: whether it is made again when the store has more."""

    template: str
    title: str
    values: Mapping[str, Any]
    live: bool = False


Maker = Callable[[Source, Asked], Page]
"""Makes a page of what the store holds and what is asked for. Raises `StoreError`, `Mistake` with a sentence."""
