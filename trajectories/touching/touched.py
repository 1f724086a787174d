"""Which files, functions and classes a patch touches, and what they were.

Invariant: with a file's source at the base commit the result is exact. Without it only what the patch itself and the
episode's views show is said: a name may be missing, or a method's class, but every text is one of the base commit.
Names are `path::qualified.name`; only Python files have any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trajectories.touching.diffs import FileDiff, apply, parse
from trajectories.touching.enclosing import Partial, around, own_text, qualified
from trajectories.touching.glimpses import known_lines
from trajectories.touching.listings import Listing, listings
from trajectories.touching.outline import outline


@dataclass
class Touched:
    """What a patch touches."""

    files: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    """Name -> own text at the base commit, for those that were there and are known whole."""
    answer: str = ""
    """The touched definitions as they read after the patch; of those that are not known whole, the hunks' lines."""
    guessed: list[str] = field(default_factory=list)
    """The Python files that were judged without their source."""


def touched(patch: str, sources: Mapping[str, str] | None = None, seen: Iterable[str] = ()) -> Touched:
    """What a unified diff touches.

    `sources`: path -> text at the base commit, of the files that are at hand. `seen`: what the episode showed, in
    order: observations, best each with the command that it answers, since that may name the file.
    """
    result = Touched()
    shown: list[tuple[str, Sequence[Listing]]] | None = None
    answers: list[str] = []
    for item in sorted(parse(patch), key=lambda item: item.paths):
        result.files += [path for path in item.paths if path not in result.files]
        if not any(path.endswith(".py") for path in item.paths):
            continue
        changes = _exact(item, sources or {})
        if changes is None:
            shown = [(text, list(listings(text))) for text in seen] if shown is None else shown
            result.guessed += item.paths
            changes = _guessed(item, shown)
        for name, old, new in changes:
            if name not in result.functions:
                result.functions.append(name)
            if old:
                result.sources[name] = old
            answers += [new] if new else []
    result.answer = "\n".join(answers)
    return result


def _exact(item: FileDiff, sources: Mapping[str, str]) -> list[tuple[str, str, str]] | None:
    """Name, text before, text after of each definition that differs; None where that cannot be known."""
    before = sources.get(item.old) if item.old else ""
    after = None if before is None else apply(before, item.hunks)
    if before is None or after is None:
        return None
    if item.old is None or item.new is None or item.old == item.new:
        return list(_differences(item.paths[0], before, after))
    sides = {item.old: (before, ""), item.new: ("", after)}
    return [change for path in sorted(sides) for change in _differences(path, *sides[path])]


def _differences(path: str, before: str, after: str) -> Iterator[tuple[str, str, str]]:
    old, new = outline(before), outline(after)
    if path.endswith(".py") and before != after and old is not None and new is not None:
        for name in [*new, *(name for name in old if name not in new)]:
            if old.get(name) != new.get(name):
                yield f"{path}::{name}", old.get(name, ""), new.get(name, "")


def _guessed(item: FileDiff, seen: Sequence[tuple[str, Sequence[Listing]]]) -> list[tuple[str, str, str]]:
    """As `_exact`, from what is known of the file."""
    known = known_lines(item, seen)
    moved = _moved(known, item)
    added = {n: line.rstrip("\r\n") for hunk in item.hunks for n, line in hunk.numbered("+")}
    shown = [listing for _, listings_ in seen for listing in listings_]
    before = Partial(known, {hunk.start: hunk.heading for hunk in item.hunks}, shown)
    lines = {moved[n]: line for n, line in known.items() if n in moved} | added
    after = Partial(lines, {hunk.new_start: hunk.heading for hunk in item.hunks}, shown)
    old = _headers(before, (n for hunk in item.hunks for n, _ in hunk.numbered("-")))
    new = _headers(after, added)
    back = {there: here for here, there in moved.items()}
    changes = []
    for name in [*new, *(name for name in old if name not in new)]:
        was = own_text(known, name, old.get(name, set()) | {back[n] for n in new.get(name, ()) if n in back})
        now = own_text(lines, name, new.get(name, set()) | {moved[n] for n in old.get(name, ()) if n in moved})
        if not was or was != now:
            changes.append((f"{item.paths[-1]}::{name}", was, now or _quoted(item, after, name)))
    return changes


def _moved(known: Iterable[int], item: FileDiff) -> dict[int, int]:
    """Number before -> number after, of the known lines that the patch leaves."""
    kept: dict[int, int | None] = {}
    shifts = [(0, 0)]
    for hunk in item.hunks:
        old, new = hunk.start, hunk.new_start
        for sign, _ in hunk.lines:
            if sign != "+":
                kept[old] = new if sign == " " else None
            old, new = old + (sign != "+"), new + (sign != "-")
        shifts.append((old, new - old))
    moved = {}
    for n in known:
        place = kept[n] if n in kept else n + max(shift for shift in shifts if shift[0] <= n)[1]
        if place is not None:
            moved[n] = place
    return moved


def _headers(side: Partial, numbers: Iterable[int]) -> dict[str, set[int]]:
    """Qualified name -> header lines that are known, for the definitions around these lines."""
    names: dict[str, set[int]] = {}
    for number in numbers:
        if side.lines[number].strip():
            headers = around(side, number)
            if name := qualified(headers):
                last = headers[name.count(".")].number
                names.setdefault(name, set()).update([] if last is None else [last])
    return names


def _quoted(item: FileDiff, after: Partial, name: str) -> str:
    """The lines of the hunks that belong to a definition, as they read after the patch."""
    parts = []
    for hunk in item.hunks:
        numbers = range(hunk.new_start, hunk.new_start + len(hunk.side(" +")))
        own = [n for n in numbers if name in _headers(after, [n])]
        parts += [after.lines[n] for n in numbers if own and own[0] <= n <= own[-1]]
    return "".join(f"{line}\n" for line in parts)
