"""Masking the patch in a trajectory, so that a context shows what was read and not what was answered.

Invariant: `leaks(mask_trajectory(t), t.patch)` is empty. A line that the patch adds stands in the context only where
the environment showed it, or the issue quoted it, before the first edit; what the policy passed to an edit is `MASK`.
Paper 1: `<PATCH_MASKED>` inside edit commands; file views, test output, errors and reasoning are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache

from trajectories.records import MASK, ContextTurn, MaskedContext, ToolCall, Trajectory, Turn

EDIT_TOOLS = frozenset({"edit", "write", "create", "insert", "str_replace", "str_replace_editor", "apply_patch"})
"""Tools whose calls change files. A call of another tool is an edit too when an argument quotes the patch."""
PLACE_ARGUMENTS = frozenset({"path", "file", "file_path", "filename"})
"""Arguments of an edit that say where, not what: they stay."""
MIN_LINE = 8
"""Shortest line that counts as the patch's own, in characters without white space: `else:` says nothing."""

_GUTTER = re.compile(r"^(?:[\w./\-]+\.\w+[:\-])?(?:E|[\d:|>+.\-]*)")
"""What views, greps, diffs and pytest write before a line of code, white space removed."""
_TOKEN = re.compile(r"\w+|[^\w\s]")
_DECODER = json.JSONDecoder()


def mask_trajectory(trajectory: Trajectory, *, keep_after_edit: bool = False) -> MaskedContext:
    """The trajectory as a context: the issue and its turns up to and with the first edit, which is masked.

    What follows the first edit tells how it came out, so it is left out, and so is the edit's own observation. With
    `keep_after_edit` it stays, without the lines that the patch adds.
    """
    secret = added_lines(trajectory.patch)
    seen = set(_lines(trajectory.problem_statement))
    edited = False
    turns = []
    for turn in trajectory.turns:
        hidden = [line for line in secret if squeeze(line) not in seen]
        is_edit = _edits(turn, hidden)
        edited = edited or is_edit
        text = _scrub(_mask_call(turn.text, turn.tool_call) if is_edit else turn.text, hidden)
        if edited and not keep_after_edit:
            turns.append(ContextTurn(text=text, tool=turn.tool_call.name, edits=True))
            break
        shown = _scrub(turn.observation, hidden) if edited else turn.observation
        turns.append(ContextTurn(text=text, observation=shown, tool=turn.tool_call.name, edits=is_edit))
        if not edited:
            seen |= _lines(turn.observation)
    return MaskedContext(
        trajectory_id=trajectory.id,
        instance_id=trajectory.instance_id,
        problem_statement=trajectory.problem_statement,
        turns=turns,
    )


def leaks(context: MaskedContext, patch: str) -> list[str]:
    """The lines that the patch adds and that the context gives away; empty for a well masked one."""
    return leaked(context, added_lines(patch))


def leaked(context: MaskedContext, lines: Iterable[str]) -> list[str]:
    """Those of the lines that the policy wrote, or that were shown after the edit, and that were not seen before."""
    seen = seen_lines(context)
    hidden = [line for line in lines if _tells(line) and squeeze(line) not in seen]
    if not hidden:
        return []
    edit = first_edit(context)
    told = [turn.text for turn in context.turns] + [turn.observation for turn in context.turns[edit:]]
    written = [squeeze(text) for text in told]
    return [line for line in hidden if any(squeeze(line) in text for text in written)]


def seen_lines(context: MaskedContext) -> set[str]:
    """What the issue and the observations before the first edit showed, line by line, squeezed."""
    seen = set(_lines(context.problem_statement))
    for turn in context.turns[: first_edit(context)]:
        seen |= _lines(turn.observation)
    return seen


def first_edit(context: MaskedContext) -> int:
    """Index of the first turn that edits; the number of turns when none does."""
    return next((i for i, turn in enumerate(context.turns) if turn.edits), len(context.turns))


def added_lines(patch: str) -> list[str]:
    """The distinct lines that a unified diff adds, stripped, at least `MIN_LINE` characters without white space."""
    return list(dict.fromkeys(line.strip() for line in added(patch) if _tells(line)))


def added(patch: str) -> list[str]:
    """Every line that a unified diff adds, as it reads after it."""
    lines = patch.split("\n")
    return [
        line[1:]
        for previous, line in zip(["", *lines], lines, strict=False)
        if line.startswith("+") and not (line.startswith("+++ ") and previous.startswith("--- "))
    ]


def _tells(line: str) -> bool:
    """Whether a line is the patch's own, and not such as stands everywhere."""
    code = squeeze(line)
    return len(code) >= MIN_LINE and code not in MASK


def squeeze(text: str) -> str:
    """The text without white space and backslashes, so that indentation and JSON escapes do not hide a line."""
    return "".join(text.replace("\\", "").split())


@lru_cache(maxsize=256)
def _lines(text: str) -> frozenset[str]:
    """Every line squeezed, as it stands and without its gutter."""
    squeezed = {squeeze(line) for line in text.split("\n")}
    return frozenset(squeezed.union(_GUTTER.sub("", line) for line in squeezed))


def _edits(turn: Turn, hidden: list[str]) -> bool:
    if turn.tool_call.name in EDIT_TOOLS:
        return True
    passed = [squeeze(value) for value in turn.tool_call.arguments.values()]
    return any(squeeze(line) in value for line in hidden for value in passed)


def _mask_call(text: str, call: ToolCall) -> str:
    """The text with `MASK` for every argument but the place; `MASK` alone when an argument cannot be found in it."""
    secret = {name: value for name, value in call.arguments.items() if name not in PLACE_ARGUMENTS}
    for name, value in secret.items():
        text, found = _mask_parameter(text, name)
        if not found:
            text, found = _mask_member(text, name)
        if not found:
            text, found = _mask_code(text, value)
        if not found and value.strip():
            return MASK
    return text if secret else MASK


def _mask_parameter(text: str, name: str) -> tuple[str, int]:
    """Mask `<parameter=NAME> value </parameter>`, also when the end was never written."""
    end = r"(\n?</parameter>\s*(?=<parameter=|</function>|</tool_call>|\Z)|(?=<parameter=)|\Z)"
    pattern = re.compile(rf"(<parameter={re.escape(name)}>\n?).*?{end}", re.DOTALL)
    return pattern.subn(lambda m: m.group(1) + MASK + m.group(2), text)


def _mask_member(text: str, name: str) -> tuple[str, int]:
    """Mask the value after `"NAME":` in a JSON object, to the end of the text when it does not end."""
    found = list(re.finditer(rf'(?<!\\)"{re.escape(name)}"\s*:\s*', text))
    for match in reversed(found):
        try:
            _, end = _DECODER.raw_decode(text, match.end())
        except ValueError:
            end = len(text)
        text = text[: match.end()] + json.dumps(MASK) + text[end:]
    return text, len(found)


def _mask_code(text: str, code: str) -> tuple[str, int]:
    """Mask the code wherever it stands, however it is spaced or escaped."""
    return _spaced(code).subn(MASK, text) if code.strip() else (text, 0)


def _scrub(text: str, hidden: list[str]) -> str:
    """The text with `MASK` for each of the hidden lines."""
    if not hidden:
        return text
    squeezed = squeeze(text)
    for line in hidden:
        if squeeze(line) in squeezed:
            text, _ = _mask_code(text, line)
    return text


@lru_cache(maxsize=512)
def _spaced(code: str) -> re.Pattern[str]:
    """The code with any white space between its tokens, also as it reads inside a JSON string."""
    tokens = [rf"\\*{re.escape(t)}" if t in "\"'\\" else re.escape(t) for t in _TOKEN.findall(code)]
    plain = r"(?:\s|\\[nrt])*".join(tokens)
    escaped = re.escape(json.dumps(code)[1:-1])
    return re.compile(rf"{plain}|{escaped}")
