"""A context counted once, for all classifiers of an audit.

Invariant: a reading is a function of the context alone. Words are names and words of two letters or more; masks are
none.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from zlib import crc32

from trajectories.mining.masking import first_edit
from trajectories.records import MASK, MaskedContext

_WORD = re.compile(r"[A-Za-z_]\w+")
_NUMBER = re.compile(r"\d{2,}")
_ENDINGS = ("passed", "failed", "Error", "Traceback", "success", "resolved", "not ", "exit code 0", "returncode>0<")
_LAST_TURNS = 3
_SIGNS = ("`", "!", "?", "\n", "I ", "Let ", "let me", "Now", '"', "#", "<", "{")
_TOOLS = 16


@dataclass(frozen=True)
class Reading:
    """The counts."""

    characters: int
    turns: int
    longest: int
    """Characters of the longest observation."""
    said: Counter[str]
    """Words of the policy."""
    shown: Counter[str]
    """Words of the observations."""
    numbers: frozenset[str]
    """Numbers of two digits or more, in either."""
    masks: int
    masked_turns: int
    edits: int
    tone: tuple[float, ...]
    """Words of success and failure in the last turns, and in those after the first edit: whether each stands there."""
    style: tuple[float, ...]
    """Signs and phrases per thousand characters of the policy's, length of a turn, share of each tool (hashed)."""


def read_context(context: MaskedContext) -> Reading:
    """Count a context."""
    said = "\n".join(turn.text for turn in context.turns).replace(MASK, " ")
    shown = "\n".join(turn.observation for turn in context.turns).replace(MASK, " ")
    tools = [0.0] * _TOOLS
    for turn in context.turns:
        tools[crc32(turn.tool.encode()) % _TOOLS] += 1 / len(context.turns)
    texts = [f"{turn.text}\n{turn.observation}" for turn in context.turns]
    after = "\n".join(turn.observation for turn in context.turns[first_edit(context) :])
    return Reading(
        characters=len(said) + len(shown),
        turns=len(context.turns),
        longest=max((len(turn.observation) for turn in context.turns), default=0),
        said=words(said),
        shown=words(shown),
        numbers=numbers(said) | numbers(shown),
        masks=sum(text.count(MASK) for text in texts),
        masked_turns=sum(MASK in text for text in texts),
        edits=sum(turn.edits for turn in context.turns),
        tone=tuple(float(e in text) for text in ("\n".join(texts[-_LAST_TURNS:]), after) for e in _ENDINGS),
        style=(
            *(1e3 * said.count(sign) / max(len(said), 1) for sign in _SIGNS),
            len(said) / max(len(context.turns), 1) / 100,
            *tools,
        ),
    )


def words(text: str) -> Counter[str]:
    """How often each word stands in a text."""
    return Counter(_WORD.findall(text))


def numbers(text: str) -> frozenset[str]:
    """The numbers of two digits or more in a text."""
    return frozenset(_NUMBER.findall(text))
