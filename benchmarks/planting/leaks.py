"""Text of the patch that masking should have taken away, in many wordings.

Invariant: what is planted was not shown before the edit, so that it gives the patch away.
"""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Callable

from benchmarks.planting.draft import Draft
from trajectories.mining.masking import first_edit
from trajectories.mining.patches import added_lines
from trajectories.records import MASK, ContextPair, MaskedContext, Trajectory


def leak(
    said: Callable[[Draft, Trajectory, str], str], where: str, part: bool = False
) -> Callable[[Draft], ContextPair]:
    """Part of the patch that masking should have taken away. `where`: `words`, `edit` or `output`."""

    def plant(d: Draft) -> ContextPair:
        d.whole = d.whole or where == "output"

        def change(t: Trajectory, context: MaskedContext) -> MaskedContext:
            secret = _secret(d.rng, t, context)
            text = said(d, t, _piece(d.rng, secret, context) if part else secret)
            turns, edit = list(context.turns), first_edit(context)
            if where == "words":
                i = d.rng.randrange(max(0, edit - 4), len(turns))
                words = d.rng.choice(("I think it should be {}. ", "So: {}\n", "What about `{}`? ", "# {}\n")).format(
                    text
                )
                turns[i] = turns[i].model_copy(update={"text": words + turns[i].text})
            elif where == "edit":
                turns[edit] = turns[edit].model_copy(update={"text": turns[edit].text.replace(MASK, text)})
            else:
                i = d.rng.randrange(edit + 1, len(turns))
                turns[i] = turns[i].model_copy(update={"observation": turns[i].observation + "\n" + text})
            return context.model_copy(update={"turns": turns})

        return d.pair(change)

    return plant


def whole_line(d: Draft, t: Trajectory, line: str) -> str:
    """The line, spaced or quoted otherwise."""
    ways = (
        lambda: line,
        lambda: "\t\t" + line,
        lambda: re.sub(r"([=<,(])", r"\1 ", line),
        lambda: line.replace('"', "'"),
        lambda: json.dumps(line)[1:-1],
        lambda: html.escape(line),
    )
    return d.rng.choice(ways)()


def partial(d: Draft, t: Trajectory, piece: str) -> str:
    """The piece, in code or in words."""
    return d.rng.choice(("{}", "... {} ...", "assert {}", "print({})", "use {} here")).format(piece)


def heredoc(d: Draft, t: Trajectory, line: str) -> str:
    """The repaired step, or the whole function, indented in one of several ways."""
    lines = list(d.rng.choice((added_lines(t.patch), t.answer.split("\n"))))
    indent = d.rng.choice(("", "    ", "\t", "        "))
    text = "\n".join(indent + one for one in lines)
    return json.dumps(text)[1:-1] if d.style == "editor_json" else text


def diff(d: Draft, t: Trajectory, line: str) -> str:
    """`git diff`, `diff -u`, a word diff, or a statistic with the hunk under it."""
    hunk = t.patch[t.patch.index("@@") :]
    words = "\n".join(f"{{+{one.strip()}+}}" for one in added_lines(t.patch))
    side = "\n".join(f"{'':40} > {one}" for one in added_lines(t.patch))
    return d.rng.choice((t.patch, hunk, words, side, re.sub(r"^\+", "\x1b[32m+", hunk, flags=re.MULTILINE)))


def test_output(d: Draft, t: Trajectory, line: str) -> str:
    """A failure or a warning that quotes the new line."""
    path, n = t.files[0], d.rng.randrange(10, 900)
    return d.rng.choice(
        (
            f"    def test_{n}():\n>       {line}\nE       assert 3 == 4\n\n{path}:{n}: AssertionError",
            f'Traceback (most recent call last):\n  File "{path}", line {n}, in f\n    {line}\n    ^^^^^\nValueError',
            f"{path}:{n}: DeprecationWarning: soon gone\n  {line}\n",
            f"{n}  -> {line}\n(Pdb) ",
            f"Name    Stmts   Miss  Cover\n{path}  {n}  1  99%  {n}: {line}",
        )
    )


def _shown(context: MaskedContext) -> str:
    seen = [turn.observation for turn in context.turns[: first_edit(context)]]
    return "".join("".join([context.problem_statement, *seen]).split())


def _secret(rng: random.Random, t: Trajectory, context: MaskedContext) -> str:
    """A line of the patch that was not shown before the edit."""
    shown = _shown(context)
    return rng.choice([line for line in added_lines(t.patch) if "".join(line.split()) not in shown])


def _piece(rng: random.Random, line: str, context: MaskedContext) -> str:
    """A part of a line, the shorter the more likely, that by itself was not shown; or a new name in it."""
    shown = _shown(context)
    new = [word for word in re.findall(r"[A-Za-z_]{5,}", line) if word not in shown]
    if new and rng.random() < 0.3:
        return rng.choice(new)
    places = [match.span() for match in re.finditer(r"\w+|[^\w\s]", line)]
    pieces = [
        line[places[i][0] : places[i + n - 1][1]]
        for n in range(4, max(5, len(places)))
        for i in range(len(places) - n + 1)
    ]
    telling = [piece for piece in pieces if len(piece) >= 12 and "".join(piece.split()) not in shown]
    return rng.choice(telling or [line])
