"""Which calls of a trajectory change files of the patch, and what of them is the patch.

Invariant: what is masked is what was written, never where: paths, line numbers, commands and delimiters stay, so that
a context still shows that, and where, something was changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from trajectories.mining.lines import Line, mask_code
from trajectories.records import MASK, ToolCall

EDIT_TOOLS = frozenset({"edit", "write", "create", "insert", "str_replace", "apply_patch", "edit_file", "write_file"})
"""Tools whose every call changes a file."""
EDITORS = frozenset({"str_replace_editor", "str_replace_based_edit_tool", "file_editor"})
"""Tools that change a file or look at it, as their argument `command` says."""
LOOKING = frozenset({"", "view", "undo_edit", "find", "search", "open"})
"""Commands of editors that write nothing."""
PLACE_ARGUMENTS = frozenset(
    {"path", "file", "file_path", "filename", "view_range", "insert_line", "start_line", "end_line", "line"}
)
"""Arguments of an edit that say where, not what: they stay."""

_HEREDOC = re.compile(r"(<<-?[ \t]*(['\"]?)(\w+)\2[^\n]*\n)(.*?)(\n[ \t]*\3[ \t]*(?=\n|\Z)|\Z)", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_IN_PLACE = re.compile(r"\b(?:g?sed|perl|ruby)\b[^|;&\n]*?\s-(?:[a-zA-Z]*i|-in-place)|\bed\s+-?s?\b|\bapplypatch\b")
_WRITES = re.compile(r"\bopen\([^)]*['\"][wa]\+?b?['\"]|write_text|\.write\(|writelines")
_LINE_EDIT = re.compile(r"(^\s*(?:edit|insert)\s+\d+(?::\d+)?[^\n]*\n)(.*?)(\n?end_of_(?:edit|insert)\b|\Z)", re.DOTALL)
"""The line editor of SWE-agent's command files."""
_OPEN = re.compile(r"^\s*(?:open|create)[ \t]+['\"]?([^\s'\"]+)")
_PATHS = ("path", "file", "file_path", "filename")
_DECODER = json.JSONDecoder()


def opened(call: ToolCall) -> str:
    """The file that a call opens in the agent's editor, for edits that name none; empty where it opens none."""
    if call.name in ("open", "create"):
        return _place(call)
    found = _OPEN.search(call.arguments.get("command", ""))
    return found[1] if found else ""


def _place(call: ToolCall) -> str:
    return next((value for name, value in call.arguments.items() if name in _PATHS), "")


def masked_arguments(
    call: ToolCall, files: Sequence[str], hidden: Sequence[Line], current: str = ""
) -> dict[str, str] | None:
    """The arguments that hold a part of the patch, by name, as they read when it is masked; None for no edit.

    `files`: the paths that the patch changes; where there are none, every call that writes is an edit. `hidden`: lines
    of the patch that had not been shown. `current`: the file that is open, which an edit without a path changes.
    """
    quotes = any(line.within(value) for line in hidden for value in call.arguments.values())
    verb = call.arguments.get("command", "") if call.name in EDITORS else ""
    if call.name in EDIT_TOOLS or verb not in LOOKING:
        if not quotes and _elsewhere(_place(call) or current, files):
            return None
        verbs = {"command"} if call.name in EDITORS else set()
        return {k: MASK for k in call.arguments if k not in PLACE_ARGUMENTS and k not in verbs}
    if not quotes and _elsewhere(current, files) and _LINE_EDIT.search(call.arguments.get("command", "")):
        return None
    return _shell_arguments(call, files, hidden, quotes)


def _elsewhere(place: str, files: Sequence[str]) -> bool:
    """Whether a file is known to be none of the patch's."""
    return bool(place and files) and not names(place, files)


def _shell_arguments(
    call: ToolCall, files: Sequence[str], hidden: Sequence[Line], quotes: bool
) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for name, value in call.arguments.items():
        masked = mask_command(value, files, hidden) if name in ("command", "code", "cmd") else value
        if any(line.within(masked) for line in hidden):
            masked = MASK
        if masked != value:
            found[name] = masked
    return found if found or quotes else None


def names(text: str, files: Sequence[str]) -> bool:
    """Whether a text names one of the files, by its last part at least."""
    return any(_word(path.rpartition("/")[2]).search(text) for path in files)


@lru_cache(maxsize=256)
def _word(name: str) -> re.Pattern[str]:
    """The name, and not the end or the beginning of a longer one: `test_window.py` is not `window.py`."""
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?!\w)")


def mask_command(command: str, files: Sequence[str], hidden: Sequence[Line]) -> str:
    """A shell command without what it writes into the files: here-documents, scripts of `sed -i`, quoted text.

    Other here-documents and quoted text go only where they quote a hidden line: a script that reproduces the issue
    stays.
    """
    if _LINE_EDIT.search(command):
        return _LINE_EDIT.sub(lambda m: m[1] + MASK + m[3], command)
    parts: list[str] = []
    end = 0
    for match in _HEREDOC.finditer(command):
        parts += [command[end : match.start()], _heredoc(command, match, files, hidden)]
        end = match.end()
    outside = [*parts[::2], command[end:]]
    plain = "".join(outside)
    writes = (not files or names(plain, files)) and bool(
        _IN_PLACE.search(plain) or _WRITES.search(plain) or _redirects(plain, files)
    )
    outside = [_QUOTED.sub(lambda m: _quoted(m[0], files, hidden, writes), part) for part in outside]
    woven = [text for pair in zip(outside, [*parts[1::2], ""], strict=True) for text in pair]
    return "".join(woven)


def _heredoc(command: str, match: re.Match[str], files: Sequence[str], hidden: Sequence[Line]) -> str:
    head = command[command.rfind("\n", 0, match.start()) + 1 : match.start()] + match[1]
    body = match[4]
    writes = _redirects(head, files) or (names(head, files) and "patch" in head)
    scripted = names(body, files) and bool(_WRITES.search(body) or "git apply" in head or "patch " in head)
    if writes or scripted or any(line.within(body) for line in hidden):
        return match[1] + MASK + match[5]
    return match[0]


def _redirects(text: str, files: Sequence[str]) -> bool:
    """Whether output goes into one of the files (or, where none are known, into any)."""
    targets = re.findall(r">>?\s*([^\s;&|<>]+)|\btee\s+(?:-a\s+)?([^\s;&|<>]+)", text)
    return any(not files or names(a or b, files) for a, b in targets if (a or b) not in ("/dev/null", "&1", "&2"))


def _quoted(text: str, files: Sequence[str], hidden: Sequence[Line], writes: bool) -> str:
    inner = text[1:-1]
    is_path = inner.strip() and " " not in inner and any(inner.endswith(path.rpartition("/")[2]) for path in files)
    if (writes and len(inner) > 1 and not is_path) or any(line.within(inner) for line in hidden):
        return text[0] + MASK + text[-1]
    return text


def mask_text(text: str, call: ToolCall, masked: Mapping[str, str]) -> str:
    """What the policy said, with the masked arguments in it; `MASK` alone where an argument cannot be found in it."""
    for name, new in masked.items():
        old = call.arguments[name]
        done, found = _replace_parameter(text, name, new)
        if not found:
            done, found = _replace_member(text, name, new)
        if not found and len(old.strip()) > 1 and old in text:
            done, found = text.replace(old, new), 1
        if not found:
            done, found = mask_code(text, old)
        if not found and old.strip():
            return MASK
        text = done
    return text if masked else MASK


def _replace_parameter(text: str, name: str, new: str) -> tuple[str, int]:
    """Replace what stands in `<parameter=NAME> value </parameter>`, also when the end was never written."""
    end = r"(\n?</parameter>\s*(?=<parameter=|</function>|</tool_call>|\Z)|(?=<parameter=)|\Z)"
    pattern = re.compile(rf"(<parameter={re.escape(name)}>\n?).*?{end}", re.DOTALL)
    return pattern.subn(lambda m: m.group(1) + new + m.group(2), text)


def _replace_member(text: str, name: str, new: str) -> tuple[str, int]:
    """Replace the value after `"NAME":` in a JSON object, to the end of the text when it does not end."""
    found = list(re.finditer(rf'(?<!\\)"{re.escape(name)}"\s*:\s*', text))
    for match in reversed(found):
        try:
            _, end = _DECODER.raw_decode(text, match.end())
        except ValueError:
            end = len(text)
        text = text[: match.end()] + json.dumps(new, ensure_ascii=False) + text[end:]
    return text, len(found)


def written(call: ToolCall, masked: Mapping[str, str]) -> Iterator[str]:
    """The lines that an edit wrote, the finished patch's and those of attempts before it."""
    for name, new in masked.items():
        before, _, _ = new.partition(MASK)
        _, _, after = new.rpartition(MASK)
        old = call.arguments[name].removeprefix(before).removesuffix(after)
        kept = set(new.split("\n"))
        yield from (line for line in old.split("\n") if line not in kept)
