"""What one JSON value says and another does not, kept so that it can be put back.

Invariant: `overlay(base, difference(base, wanted))` is `wanted`, exactly (1 is not 1.0 here, and 0.0 not -0.0). If the
base was changed in between, whatever was changed stays as it is, and all else is put back: each part of a difference
knows what it stood for.

A difference is None, or one of
    {"is": value, "was": digest}      another value; without "was" where the base had nothing or a blank there
    {"gone": digest}                  a key that the base has too much
    {"keys": {key: difference}}
    {"of": [digest of each item of the base], "items": {index: difference}, "insert": {index: [items]}, "drop": [index]}
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

Json = Any
_KIN = ("role", "source", "action", "observation", "kind", "type", "class_", "tool_name", "message_type")
"""Members that say what sort of thing an item of a list is: items that were put in are found by them."""
_MISSING = object()


def difference(base: Json, wanted: Json) -> dict[str, Json] | None:
    """What turns `base` into `wanted`; None where nothing does."""
    if same(base, wanted):
        return None
    if isinstance(base, dict) and isinstance(wanted, dict):
        keys: dict[str, Json] = {key: {"gone": digest(base[key])} for key in base if key not in wanted}
        for key, value in wanted.items():
            part = difference(base[key], value) if key in base else {"is": value}
            if part is not None:
                keys[key] = part
        return {"keys": keys}
    if _of_objects(base) and _of_objects(wanted):
        return _list_difference(base, wanted)
    return {"is": wanted} if _blank(base) else {"is": wanted, "was": digest(base)}


def overlay(base: Json, part: Json) -> Json:
    """`base` with a difference put over it. What is no difference changes nothing."""
    result = _overlay(base, part)
    return base if result is _MISSING else result


def _overlay(base: Json, part: Json) -> Json:
    if not isinstance(part, dict):
        return base
    if "is" in part:
        meant = (base is _MISSING or _blank(base)) if "was" not in part else _stands_for(part["was"], base)
        return part["is"] if meant else base
    if "gone" in part:
        return _MISSING if _stands_for(part["gone"], base) else base
    if isinstance(part.get("keys"), dict) and isinstance(base, dict):
        result = dict(base)
        for key, inner in part["keys"].items():
            value = _overlay(base.get(key, _MISSING), inner)
            result.pop(key, None)
            if value is not _MISSING:
                result[key] = value
        return result
    if isinstance(part.get("of"), list) and isinstance(base, list):
        return list(_list_overlay(base, part))
    return base


def same(a: Json, b: Json) -> bool:
    """Whether two JSON values are written alike, the order of keys aside."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return repr(a) == repr(b)  # tells 0.0 from -0.0, and nan is nan
    return bool(a == b)


def digest(value: Json) -> str:
    """Eight hexadecimal digits that tell a value from a changed one."""
    return f"{zlib.crc32(canonical(value)):08x}"


def canonical(value: Json) -> bytes:
    """The value as JSON in one way only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _stands_for(was: Json, value: Json) -> bool:
    return value is not _MISSING and digest(value) == was


def _blank(value: Json) -> bool:
    return value is None or value is False or (isinstance(value, str | list | dict | int | float) and not value)


def _of_objects(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _list_difference(base: list[Json], wanted: list[Json]) -> dict[str, Json]:
    pairs = dict(_paired([_kin(item) for item in base], [_kin(item) for item in wanted]))
    back = {there: here for here, there in pairs.items()}
    items = {str(i): part for i, j in pairs.items() if (part := difference(base[i], wanted[j])) is not None}
    insert: dict[str, list[Json]] = {}
    for j, item in enumerate(wanted):
        if j not in back:
            before = next((back[later] for later in range(j + 1, len(wanted)) if later in back), len(base))
            insert.setdefault(str(before), []).append(item)
    drop = [i for i in range(len(base)) if i not in pairs]
    result: dict[str, Json] = {"of": [digest(item) for item in base], "items": items}
    return result | ({"insert": insert} if insert else {}) | ({"drop": drop} if drop else {})


def _list_overlay(base: list[Json], part: dict[str, Json]) -> Iterator[Json]:
    was = part["of"]
    items, insert = (found if isinstance(found := part.get(key), dict) else {} for key in ("items", "insert"))
    drop = found if isinstance(found := part.get("drop"), list) else []
    place = dict(_paired(was, [digest(item) for item in base]))  # index then -> index now
    then = {now: index for index, now in place.items()}
    put = 0  # those before this index then are put in
    for now, item in enumerate(base):
        index = then.get(now)
        if index is None:
            yield item
            continue
        for earlier in range(put, index + 1):
            yield from insert.get(str(earlier), ())
        put = index + 1
        if index not in drop or digest(item) != was[index]:
            yield overlay(item, items.get(str(index)))
    for earlier in range(put, len(was) + 1):
        yield from insert.get(str(earlier), ())


def _paired(old: Sequence[Json], new: Sequence[Json]) -> Iterator[tuple[int, int]]:
    """Which item became which: in their order where there are as many, else those that are alike."""
    if len(old) == len(new):
        yield from ((i, i) for i in range(len(old)))
        return
    for tag, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal" or (tag == "replace" and i_end - i == j_end - j):
            yield from zip(range(i, i_end), range(j, j_end), strict=True)


def _kin(item: dict[str, Json]) -> tuple[str | None, ...]:
    values = (item.get(name) for name in _KIN)
    return tuple(value if isinstance(value, str) and len(value) < 40 else None for value in values)
