"""The way back: a diff that undoes another.

Invariant: `reverse(reverse(patch))` changes files as `patch` does.
"""

from __future__ import annotations

import re

from envs.patch import split_lines

_HUNK = re.compile(r"@@ -(\S+) \+(\S+) @@(.*)", re.DOTALL)
_SWAPS = (
    ("new file mode ", "deleted file mode "),
    ("rename from ", "rename to "),
    ("old mode ", "new mode "),
)


def reverse(patch: str) -> str:
    """A git diff whose effect is the opposite."""
    out: list[str] = []
    body: list[str] = []
    for line in split_lines(patch):
        if body and (line.startswith("\\") or _lacking(body) > 0):
            body.append(line)
            continue
        out += _hunk(body)
        body = [line] if _HUNK.match(line) else []
        out += [] if body else [line]
    return _sides("".join(out + _hunk(body)))


def _lacking(body: list[str]) -> int:
    """Lines that a hunk lacks by what its header says, those of both sides together."""
    match = _HUNK.match(body[0])
    sides = match.groups()[:2] if match else ()
    wanted = sum(int(side.partition(",")[2] or 1) for side in sides)
    return wanted - sum(2 if line[0] in " \n" else 1 for line in body[1:] if line[0] != "\\")


def _hunk(body: list[str]) -> list[str]:
    """A hunk turned round; what was added is taken away first, as git writes it."""
    lines = [_HUNK.sub(r"@@ -\2 +\1 @@\3", line) for line in body[:1]]
    removed: list[str] = []
    added: list[str] = []
    side = lines
    for line in body[1:]:
        if line[0] == "\\":
            side[-1] += line
        elif line[0] == "+":
            removed.append("-" + line[1:])
            side = removed
        elif line[0] == "-":
            added.append("+" + line[1:])
            side = added
        else:
            lines += [*removed, *added, line]
            removed, added, side = [], [], lines
    return [*lines, *removed, *added]


def _sides(patch: str) -> str:
    """The headers turned round; files keep their order."""
    parts = re.split(r"^(?=diff --git )", patch, flags=re.MULTILINE)
    return "".join(map(_headers, parts))


def _headers(part: str) -> str:
    head, mark, rest = part.partition("\n@@ ")
    lines = head.split("\n")
    old = next((line[4:] for line in lines if line.startswith("--- ")), None)
    new = next((line[4:] for line in lines if line.startswith("+++ ")), None)
    turned = [_header(line, old, new) for line in lines]
    order = {"rename from": 0, "rename to": 1, "old mode": 0, "new mode": 1}
    for i in range(len(turned) - 1):
        one, two = (" ".join(line.split(" ")[:2]) for line in turned[i : i + 2])
        if order.get(one, -1) == 1 and order.get(two, -1) == 0:
            turned[i], turned[i + 1] = turned[i + 1], turned[i]
    return "\n".join(turned) + mark + rest


def _header(line: str, old: str | None, new: str | None) -> str:
    if old is not None and new is not None:
        if line.startswith("--- "):
            return f"--- {_other(new, 'a/')}"
        if line.startswith("+++ "):
            return f"+++ {_other(old, 'b/')}"
    if line.startswith("diff --git a/"):
        before, _, after = line.removeprefix("diff --git a/").partition(" b/")
        return f"diff --git a/{after} b/{before}"
    for one, two in _SWAPS:
        if line.startswith(one):
            return two + line.removeprefix(one)
        if line.startswith(two):
            return one + line.removeprefix(two)
    return re.sub(r"^index (\w+)\.\.(\w+)", r"index \2..\1", line)


def _other(side: str, prefix: str) -> str:
    return side if side.startswith("/dev/null") else prefix + side[2:]
