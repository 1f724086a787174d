"""Texts of hidden calls on the host: written and compared here, read only inside sandboxes.

Invariant: nothing here runs anything: arguments are taken apart as JSON data, never turned into objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envs.testing.driver.answers import canonical
from envs.testing.driver.values import Encoder, dumps

__all__ = ["answer_text", "call_text", "canonical", "dumps"]


def call_text(module: str, positional: Sequence[Any]) -> str:
    """The arguments text of a call with plain data, of a function of a module."""
    return dumps({"module": module, "args": Encoder().items(positional), "kwargs": {}})


def answer_text(value: Any) -> str:
    """The answer text of a call that returns plain data and changes none of its arguments."""
    return dumps({"returns": canonical(value)})
