"""Parts of pages that are fetched when somebody asks for them: more of a long text, the tokens of a turn.

Invariant: an answer is bounded, however long the text is.
"""

from __future__ import annotations

from typing import Any

from trajectories.records import Trajectory
from trajectories.viewer.asking import Asked, Mistake
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Page
from trajectories.viewer.parts import formed, next_piece
from trajectories.viewer.replays import TEXTS, replayed_text
from trajectories.viewer.steps import Step, steps_of
from trajectories.viewer.tokens import BY, scale, tokenizer_of, tokens_of

FORMS = ("ansi", "diff", "edit", "plain")
WHOLE = ("statement", "patch", "gold", "system_prompt", "user_prompt")
"""Texts of a trajectory."""
OF_A_PAIR = ("answer", "confounder answer")
OF_A_TURN = ("observation", "words", "thought", "call", "rest", "argument", "edit", "changed", "after", "replay")
"""Texts of one of its turns."""


def text(source: Source, asked: Asked) -> Page:
    """A piece of a text, from `start` on, and what is left up to `end`."""
    form = asked.choice("form", FORMS) or "plain"
    whole = _text(source, asked)
    start = asked.whole("start", high=len(whole)) or 0
    end = asked.whole("end", start, len(whole))
    end = len(whole) if end is None else end
    stop = next_piece(whole, start, end)
    rest = asked.changed(start=stop, end=end) if stop < end else ""
    left = {"lines": whole.count("\n", stop, end), "characters": end - stop}
    values = {"piece": formed(whole, form, start, stop), "form": form, "rest": rest, "left": left}
    return Page("fragment_text.html", "", values)


def _text(source: Source, asked: Asked) -> str:
    if (pair := asked.text("pair")) is not None:
        answers = source.store.get_pair(pair)
        return answers.shown_answer if asked.choice("part", OF_A_PAIR) == "answer" else answers.confounder_answer
    found = source.trajectory(asked.needed("id", "a trajectory's id"))
    part = asked.choice("part", (*WHOLE, *OF_A_TURN)) or "observation"
    if part == "gold":
        task = source.store.task(found.instance_id, found.run) or {}
        return str(task.get("patch") or "")
    if part in ("statement", "patch"):
        return {"statement": found.problem_statement, "patch": found.patch}[part]
    if part in WHOLE:
        return str(found.extra.get(part) or "")
    if part == "replay":
        return _of_replay(source, asked, found)
    return _of_turn(_step(source, found, _turn(asked, found)), part, asked.text("name") or "")


def _of_replay(source: Source, asked: Asked, found: Trajectory) -> str:
    turn, what = asked.whole("turn", 1) or 1, asked.choice("name", tuple(TEXTS)) or "diff"
    text = replayed_text(source.store.findings("replay", found.id), asked.text("replay") or "", turn, what)
    if not text:
        raise Mistake(f"No such replay of trajectory {found.id} has another {what} at turn {turn}.")
    return text


def _turn(asked: Asked, found: Trajectory) -> int:
    """The number of a turn, the first unless it is said."""
    if not found.turns:
        raise Mistake(f"Trajectory {found.id} has no turns.")
    return asked.whole("turn", 1, len(found.turns)) or 1


def _step(source: Source, found: Trajectory, number: int) -> Step:
    replays = source.store.findings("replay", found.id, limit=1)
    steps, _ = steps_of(found, replays[0].document if replays else None)
    return steps[number - 1]


def _of_turn(step: Step, part: str, name: str) -> str:
    if part == "observation":
        return step.turn.observation
    if part == "argument":
        arguments = step.turn.tool_call.arguments
        if name not in arguments:
            raise Mistake(f"The call of turn {step.number} has no argument {name!r}.")
        return arguments[name]
    if part == "edit":
        return step.edit[0]
    if part == "changed":
        return step.changed
    if part == "after":
        return step.after or ""
    return str(step.said._asdict()[part])


def tokens(source: Source, asked: Asked) -> Page:
    """The tokens of a turn, coloured."""
    found = source.trajectory(asked.needed("id", "a trajectory's id"), tokens=True)
    turn = _turn(asked, found)
    start = asked.whole("start", high=len(found.turns[turn - 1].completion_ids)) or 0
    by = asked.choice("by", tuple(BY)) or "logprob"
    lesson = source.store.lessons([found.id]).get(found.id)
    shown = tokens_of(found, turn, by, lesson, tokenizer_of(source.store, found.run), start)
    values: dict[str, Any] = {"id": found.id, "turn": turn, "by": by, "ways": BY, "scale": scale(by), "tokens": shown}
    return Page("fragment_tokens.html", "", values)
