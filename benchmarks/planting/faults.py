"""Context pairs with one known fault each, and clean ones.

Invariant: a fault is planted by what it is in the world (text that masking should have taken away, a longer episode,
the same bug), in many wordings; nothing here knows the rules that look for it.
"""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.planting.agents import STYLES, Episode, episode
from benchmarks.planting.code import NOUNS, two_bugs
from trajectories.mining.answers import asked
from trajectories.mining.lines import added_lines
from trajectories.mining.masking import first_edit, mask_after_edit, mask_trajectory
from trajectories.protocol import RightAnswer
from trajectories.records import MASK, ContextPair, ContextTurn, MaskedContext, Trajectory

Turns = list[ContextTurn]


@dataclass
class Draft:
    """Two episodes that become a pair; faults change it."""

    rng: random.Random
    style: str
    whole: bool
    """Whether the turns after the edit are shown."""
    first: Episode
    second: Episode

    def pair(self, change: Callable[[Trajectory, MaskedContext], MaskedContext] | None = None) -> ContextPair:
        """The pair as the miner makes it; `change` is done to one of the two contexts, either one."""
        a, c = self.first.play("task-1"), self.second.play("task-2")
        about = asked([RightAnswer(a.answer, a.patch)], [RightAnswer(c.answer, c.patch)])
        lines = [*about.answer.splitlines(), *about.replaced.splitlines()] if about.replaced else []
        contexts = [mask_after_edit(mask_trajectory(t, keep_after_edit=self.whole), lines) for t in (a, c)]
        if change:
            which = self.rng.randrange(2)
            contexts[which] = change((a, c)[which], contexts[which])
        return ContextPair(
            repo=a.repo,
            base_commit=a.base_commit,
            file=a.files[0],
            function=a.functions[0],
            answer=about.answer,
            replaced=about.replaced,
            confounder_answer=about.confounder_answer,
            anchor=contexts[0],
            confounder=contexts[1],
            similarity=0.5,
        )


def draft(rng: random.Random, style: str) -> Draft:
    """Two episodes of one agent on two bugs of one function; one is at most 1.6 times as long as the other."""
    while True:
        one, other = two_bugs(rng)
        first = episode(one, style, rng)
        second = episode(other, style, rng, turns=max(13, round(first.turns * rng.uniform(0.8, 1.25))))
        made = Draft(rng, style, rng.random() < 0.7, first, second)
        state = rng.getstate()
        if _ratio(made.pair()) <= 1.6:
            rng.setstate(state)
            return made


def clean(d: Draft) -> ContextPair:
    """Nothing wrong."""
    return d.pair()


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


def length_gap(d: Draft) -> ContextPair:
    """One of the two is 2 to 6 times as long."""
    while True:
        many = round(d.first.turns * d.rng.uniform(2, 6))
        d.second = episode(d.second.bug, d.style, d.rng, turns=many)
        if d.rng.random() < 0.5:
            d.first, d.second = d.second, d.first
        pair = d.pair()
        if 2 <= _ratio(pair) <= 6:
            return pair
        d = draft(d.rng, d.style)


def format_gap(d: Draft) -> ContextPair:
    """Only one of the two is written in a style, thinks aloud in tags, or says anything at all."""
    kind = d.rng.randrange(4)
    if kind == 0:
        d.second.style = d.rng.choice([style for style in STYLES if style != d.style])
        return d.pair()

    def change(t: Trajectory, context: MaskedContext) -> MaskedContext:
        turns = []
        for turn in context.turns:
            text, seen = turn.text, turn.observation
            if kind == 1:
                tag = ("think", "reasoning", "thought")[len(t.id) % 3]
                text = re.sub(r"\A(?:THOUGHT: )?(.*?)\n", rf"<{tag}>\1</{tag}>\n", text, count=1, flags=re.DOTALL)
            elif kind == 2:
                text = text[max(text.find("```bash"), text.find("<function="), text.find("<tool_call>"), 0) :]
            else:
                seen = f"[Thinking time: {d.rng.random():.1f}s]\n{seen}\n[Current directory: /testbed]"
            turns.append(turn.model_copy(update={"text": text, "observation": seen}))
        return context.model_copy(update={"turns": turns})

    return d.pair(change)


def mask_gap(d: Draft) -> ContextPair:
    """The two are masked in unlike ways."""
    kind = d.rng.randrange(4)
    d.whole = d.whole or kind == 3

    def change(t: Trajectory, context: MaskedContext) -> MaskedContext:
        turns, edit = list(context.turns), first_edit(context)
        if kind == 0:  # the whole turn, where the other shows the command around it
            turns[edit] = turns[edit].model_copy(update={"text": MASK})
        elif kind == 1:  # the edit is not masked, though it quotes nothing that tells
            text = turns[edit].text.replace(MASK, "pass")
            turns[edit] = turns[edit].model_copy(update={"text": text, "edits": d.rng.random() < 0.5})
        elif kind == 2:  # every line that was shown is masked
            for i, turn in enumerate(turns):
                if d.rng.random() < 0.6:
                    rows = [MASK if d.rng.random() < 0.3 else row for row in turn.observation.split("\n")]
                    turns[i] = turn.model_copy(update={"observation": "\n".join(rows)})
        else:  # there is no mask at all
            turns = [
                turn.model_copy(
                    update={"text": turn.text.replace(MASK, ""), "observation": turn.observation.replace(MASK, "")}
                )
                for turn in turns
            ]
        return context.model_copy(update={"turns": turns})

    return d.pair(change)


def same_bug(d: Draft) -> ContextPair:
    """One bug under two instance ids, repaired twice in nearly the same words."""
    bug = d.first.bug
    d.second = episode(bug, d.style, d.rng, _reworded(d.rng, d.first.right), turns=d.first.turns)
    return d.pair()


def ambiguous(d: Draft) -> ContextPair:
    """The repair of one task is, or holds, that of the other."""
    module = d.first.bug.module
    pair = d.pair()
    right = [step.right for step in (module.steps[d.first.bug.step], module.steps[d.second.bug.step])]
    mine = "\n".join(right[0]) + "\n"
    both = "\n".join((*_reworded(d.rng, right[0]), *right[1]))
    other = d.rng.choice((mine, "\n".join(_reworded(d.rng, right[0])), both, module.definition(frozenset())))
    texts = (mine, other) if other != module.definition(frozenset()) else (other, f"# the whole\n{other}")
    if d.rng.random() < 0.5:
        texts = texts[::-1]
    return pair.model_copy(update={"answer": texts[0], "confounder_answer": texts[1]})


def identical(d: Draft) -> ContextPair:
    """Twice the same context, but for what differs from run to run."""
    pair = d.pair()
    kind = d.rng.randrange(4)

    def again(text: str) -> str:
        if kind == 1:
            return re.sub(r"in \d+\.\d+s", f"in {d.rng.uniform(0, 9):.2f}s", text)
        if kind == 2:
            return text.replace("\n\n", "\n \n") + d.rng.choice(("", " ", "\n"))
        if kind == 3:
            clock = f"{d.rng.randrange(24):02}:{d.rng.randrange(60):02}"
            return text.replace("/testbed", f"/tmp/{d.rng.randrange(10**6)}").replace("10:00", clock)
        return text

    turns = [
        turn.model_copy(update={"text": again(turn.text), "observation": again(turn.observation)})
        for turn in pair.anchor.turns
    ]
    update = {"turns": turns, "trajectory_id": pair.confounder.trajectory_id, "instance_id": "task-2"}
    if d.rng.random() < 0.5:
        update["problem_statement"] = pair.confounder.problem_statement
    return pair.model_copy(update={"confounder": pair.anchor.model_copy(update=update)})


FAULTS: dict[str, Callable[[Draft], ContextPair]] = {
    "clean": clean,
    "leak: whole line in words": leak(whole_line, "words"),
    "leak: part of a line": leak(partial, "words", part=True),
    "leak: here-document or edit": leak(heredoc, "edit"),
    "leak: diff after the edit": leak(diff, "output"),
    "leak: test output": leak(test_output, "output"),
    "length gap": length_gap,
    "format gap": format_gap,
    "mask inconsistency": mask_gap,
    "same bug twice": same_bug,
    "ambiguous label": ambiguous,
    "identical contexts": identical,
}
"""What is planted, by name."""


def planted(kind: str, style: str, seed: int) -> ContextPair:
    """One pair."""
    rng = random.Random(f"{kind}/{style}/{seed}")
    return FAULTS[kind](draft(rng, style))


def _ratio(pair: ContextPair) -> float:
    short, long = sorted((_size(pair.anchor), _size(pair.confounder)))
    return long / max(short, 1)


def _size(context: MaskedContext) -> int:
    return sum(len(turn.text) + len(turn.observation) for turn in context.turns)


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


def _reworded(rng: random.Random, lines: tuple[str, ...]) -> tuple[str, ...]:
    """The same code with other spaces, quotes and comments."""
    ways: tuple[Callable[[str], str], ...] = (
        lambda line: line,
        lambda line: f"{line}  # {rng.choice(NOUNS)}",
        lambda line: line.replace('"', "'"),
        lambda line: line.replace(", ", ",").replace(" = ", "="),
    )
    way = rng.choice(ways)
    head = (f"# {rng.choice(NOUNS)} first",) if rng.random() < 0.5 else ()
    return (*head, *map(way, lines))
