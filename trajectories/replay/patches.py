"""Whether two unified diffs say the same, whoever wrote them.

Invariant: only which lines of which files are added and taken away counts; context, hunks, hashes and modes do not.
"""

from __future__ import annotations

from collections import Counter

from trajectories.touching.diffs import parse


def same_patch(one: str, other: str) -> bool:
    """Whether both change the same files by the same lines."""
    return _changes(one) == _changes(other)


def _changes(patch: str) -> dict[str, Counter[tuple[str, str]]]:
    found: dict[str, Counter[tuple[str, str]]] = {}
    for file in parse(patch.replace("\r\n", "\n")):
        lines = [(sign, text.rstrip("\n")) for hunk in file.hunks for sign, text in hunk.lines if sign in "+-"]
        found.setdefault(file.new or file.old or "", Counter()).update(lines)
    return {path: _net(lines) for path, lines in found.items() if _net(lines)}


def _net(lines: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Without what is taken away and added again: where a hunk begins is the writer's choice."""
    opposite = {"+": "-", "-": "+"}
    return Counter({(s, text): n - lines[opposite[s], text] for (s, text), n in lines.items()}) - Counter()
