"""More inputs for a function from those that its tests gave it.

Invariant: a new input stays within what the tests have shown to be meant: values come from the same parameter, numbers
from the range seen there and a little above, what was sorted in every call stays sorted, nothing becomes empty that
never was, records keep their length and their places, and no sorts are mixed that were not. Texts of
`envs.testing.values` in and out; the same seed gives the same inputs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from envs.testing.values import dumps

_TRIES = 6
"""Attempts per new input that is wanted: many come out as an old one."""
_SEQUENCES = ("list", "tuple", "iterator")


def new_inputs(recorded: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """At most `count` calls that are not among the recorded ones."""
    shapes: dict[str, list[dict[str, Any]]] = {}
    for text in recorded:
        call = json.loads(text)
        shapes.setdefault(dumps([call["module"], len(call["args"]), sorted(call["kwargs"])]), []).append(call)
    tables = [(calls, _columns(calls)) for calls in shapes.values()]
    found: dict[str, None] = {}
    for _ in range(_TRIES * count if any(columns for _, columns in tables) else 0):
        calls, columns = rng.choice(tables)
        text = dumps(_changed(rng.choice(calls), columns, rng))
        if text not in found and text not in recorded:
            found[text] = None
            if len(found) == count:
                break
    return list(found)


def _columns(calls: list[dict[str, Any]]) -> dict[int | str, list[Any]]:
    """Parameter -> the values that it had."""
    places: list[tuple[str, int | str]] = [("args", index) for index in range(len(calls[0]["args"]))]
    places += [("kwargs", name) for name in calls[0]["kwargs"]]
    return {place: [call[kind][place] for call in calls] for kind, place in places}


def _changed(call: dict[str, Any], columns: dict[int | str, list[Any]], rng: random.Random) -> dict[str, Any]:
    """The call with one or more of its arguments replaced."""
    made = {**call, "args": list(call["args"]), "kwargs": dict(call["kwargs"])}
    places = list(columns)
    for place in rng.sample(places, rng.randint(1, len(places))) if places else ():
        column = columns[place]
        value = rng.choice(column)
        value = varied(value, column, rng) if rng.random() < 0.6 else value
        made["args" if isinstance(place, int) else "kwargs"][place] = value
    return made


def varied(value: Any, column: Sequence[Any], rng: random.Random) -> Any:
    """A value like one of a parameter's values; the same where nothing is known of its kind."""
    if isinstance(value, str):
        return _varied_text(value, [other for other in column if isinstance(other, str)], rng)
    if isinstance(value, int) and not isinstance(value, bool):
        seen = [other for other in column if isinstance(other, int) and not isinstance(other, bool)]
        return min(max(value + rng.choice((-1, 1, 2)), min(seen)), max(seen) + 2)
    if isinstance(value, list) and value[0] == "made":
        alike = [other[2] for other in column if isinstance(other, list) and other[:2] == value[:2]]
        return [*value[:2], _varied_history(value[2], alike, rng)]
    return _varied_container(value, column, rng) if isinstance(value, list) else value


def _varied_history(history: list[Any], column: Sequence[list[Any]], rng: random.Random) -> list[Any]:
    """An object made with other arguments, or asked less before."""
    if not history:
        return history
    args, kwargs, steps = history
    alike = [other[0] for other in column if other and len(other[0]) == len(args)]
    made = [varied(value, [other[i] for other in alike], rng) for i, value in enumerate(args)]
    return [made, kwargs, steps[: len(steps) - rng.randint(0, min(2, len(steps)))]]


def _varied_container(value: list[Any], column: Sequence[Any], rng: random.Random) -> list[Any]:
    kind, inside, *rest = [*value, None]
    alike = [other[1] for other in column if isinstance(other, list) and other[0] == kind]
    if kind == "tuple" and len({len(other) for other in alike}) == 1:  # a record: each place has a meaning of its own
        inside = list(inside)
        for at in rng.sample(range(len(inside)), min(1, len(inside))):
            inside[at] = varied(inside[at], [other[at] for other in alike], rng)
    elif kind in _SEQUENCES:
        inside = _varied_items(inside, alike, rng)
    elif kind == "range":
        inside = [inside[0], varied(inside[1], [other[1] for other in alike], rng), inside[2]]
    elif kind in ("bytes", "bytearray"):
        inside = _varied_text(inside, alike, rng)
    elif kind in ("dict", "set", "frozenset") and len(inside) > 1:
        dropped = rng.randrange(len(inside))
        inside = inside[:dropped] + inside[dropped + 1 :]
    return [kind, inside, *rest[:-1]] if len(value) > 1 else value


def _varied_text(text: str, column: Sequence[str], rng: random.Random) -> str:
    other = rng.choice(column)
    made = rng.choice((text[1:], text[:-1], text + other[:1], text[len(text) // 2 :] + text[: len(text) // 2]))
    return made if made or "" in column else text


def _varied_items(items: list[Any], column: Sequence[list[Any]], rng: random.Random) -> list[Any]:
    kinds = {_kind_of(item) for item in items}
    fitting = [other for other in column if not items or kinds >= {_kind_of(item) for item in other}]
    every = [item for other in fitting for item in other]
    made = list(items)
    if not every:
        return made
    at = rng.randrange(len(made)) if made else 0
    match rng.randrange(5):
        case 0 if len(made) > 1 or [] in column:
            del made[at : at + 1]
        case 1:
            made.insert(at, rng.choice(every))
        case 2 if made:
            made[at] = varied(made[at], every, rng)
        case 3:
            rng.shuffle(made)
        case _:
            made.append(rng.choice(every))
    return sorted(made) if all(_is_sorted(other) for other in column) and _is_orderable(made) else made


def _kind_of(item: Any) -> str:
    """What sort of value it is: a sequence of one sort is not mixed with another's."""
    return str(item[0]) if isinstance(item, list) else type(item).__name__


def _is_orderable(items: list[Any]) -> bool:
    return len({type(item) for item in items}) == 1 and isinstance(items[0], int | str)


def _is_sorted(items: list[Any]) -> bool:
    return not items or (_is_orderable(items) and items == sorted(items))
