"""A context as the rules look at it: counted and squeezed once, however many pairs it stands in.

Invariant: a view is a function of its context alone; it lives as long as the context does, and what no rule asks for is
never computed.
"""

from __future__ import annotations

import html
import re
import weakref
from collections import Counter
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar

from trajectories.mining.masking import first_edit
from trajectories.records import MASK, ContextPair, MaskedContext

Found = TypeVar("Found")
_ENTITIES = ("&lt;", "&gt;", "&quot;", "&amp;", "&#")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def plain(text: str) -> str:
    """The text without white space, backslashes, colours and entities, and with one kind of quotes."""
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    if "&" in text and any(entity in text for entity in _ENTITIES):
        text = html.unescape(text)
    return "".join(text.replace("\\", "").replace('"', "'").split())


class View:
    """What the rules ask of one context."""

    def __init__(self, context: MaskedContext) -> None:
        # Not the context itself: the view would keep it alive.
        self._turns, self._statement = context.turns, context.problem_statement
        self.edit = first_edit(context)
        """Index of the first turn that edits."""
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` says of this context, asked the first time only. `key` names it, with all that it depends on."""
        if key not in self._known:
            self._known[key] = find()
        return self._known[key]  # type: ignore[no-any-return]

    @cached_property
    def length(self) -> int:
        """Characters in all."""
        return len(self._statement) + sum(len(turn.text) + len(turn.observation) for turn in self._turns)

    @cached_property
    def tools(self) -> Counter[str]:
        """How often each tool is called."""
        return Counter(turn.tool for turn in self._turns)

    @cached_property
    def shown(self) -> str:
        """What the issue and the observations before the first edit show, plain."""
        seen = [turn.observation for turn in self._turns[: self.edit]]
        return plain("\n".join([self._statement, *seen]))

    @cached_property
    def wrote(self) -> str:
        """What the policy wrote, plain."""
        return plain(self.words)

    @cached_property
    def after(self) -> str:
        """What was shown from the first edit on, plain."""
        return plain("\n".join(turn.observation for turn in self._turns[self.edit :]))

    @cached_property
    def words(self) -> str:
        """What the policy wrote, as it stands."""
        return "\n".join(turn.text for turn in self._turns)

    @cached_property
    def masked_turns(self) -> int:
        """Turns with a mask."""
        return sum(MASK in turn.text or MASK in turn.observation for turn in self._turns)

    @cached_property
    def marks(self) -> int:
        """Masks in all."""
        return sum(turn.text.count(MASK) + turn.observation.count(MASK) for turn in self._turns)

    @cached_property
    def rows(self) -> frozenset[str]:
        """The distinct lines of the observations, without the white space around them."""
        return frozenset(row.strip() for turn in self._turns for row in turn.observation.split("\n"))

    @cached_property
    def frames(self) -> dict[tuple[str, str], float]:
        """How turns begin and end: place and word or line -> share of the turns (of those that show something)."""
        found: Counter[tuple[str, str]] = Counter()
        sizes = {"call": len(self._turns), "observation": sum(bool(turn.observation) for turn in self._turns)}
        for turn in self._turns:
            for kind, text in (("call", turn.text), ("observation", turn.observation)):
                if text := text.strip():
                    first = _FIRST.match(text)
                    ends = {f"{kind} begins": first[0] if first else "", f"{kind} ends": text[-40:].rpartition("\n")[2]}
                    found.update(ends.items())
        return {key: n / sizes[key[0].partition(" ")[0]] for key, n in found.items()}


_FIRST = re.compile(r"[^\w\s]*\w+")
_views: dict[int, tuple[weakref.ref[MaskedContext], View]] = {}


def view(context: MaskedContext) -> View:
    """The view of a context; the same one as long as the context is there."""
    known = _views.get(id(context))
    if known is not None and known[0]() is context:
        return known[1]
    key = id(context)
    made = View(context)
    _views[key] = weakref.ref(context, lambda gone: _forget(key, gone)), made
    return made


def _forget(key: int, gone: weakref.ref[MaskedContext]) -> None:
    if key in _views and _views[key][0] is gone:
        del _views[key]


def both(pair: ContextPair) -> tuple[tuple[str, View], tuple[str, View]]:
    """The two contexts by the names that reasons give them."""
    return ("anchor", view(pair.anchor)), ("confounder", view(pair.confounder))
