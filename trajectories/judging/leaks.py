"""The rule on leaks: nothing that the patch writes stands in what the policy wrote, or was shown after its edit.

Invariant: what the issue or the environment showed before the first edit is no leak, and no shorter part of it is. A
part of a line counts, however it is indented, quoted, coloured or escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from trajectories.judging.limits import Finding, RuleLimits
from trajectories.judging.views import View, both, plain
from trajectories.mining.lines import MIN_LINE
from trajectories.mining.quotes import COMMON, weight
from trajectories.records import MASK, ContextPair

_TOKEN = re.compile(r"\w+|[^\w\s]")
_NAME = re.compile(r"[A-Za-z_]\w{3,}")
_TEXT = re.compile(r"#.*$|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")


def no_leak(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Neither context gives away what its own patch writes, nor does the confounder write the answer."""
    (_, anchor), (_, confounder) = both(pair)
    looks = (
        ("anchor", anchor, "the answer's", pair.answer, True),
        ("confounder", confounder, "the answer's", pair.answer, False),
        ("confounder", confounder, "its own patch's", pair.confounder_answer, True),
    )
    doubt: Finding | None = None
    for name, seen, whose, code, own in looks:
        sure, words = seen.once(("leak", code, own, limits), partial(_leak, code, seen, own, limits))
        if words:
            found = f"the {name} {words.format(whose=whose)}"
            if sure:
                return "invalid", found
            doubt = doubt or ("uncertain", found)
    return doubt


def _leak(code: str, seen: View, own: bool, limits: RuleLimits) -> tuple[bool, str]:
    """Whether it is sure that a context gives lines of code away, and how; an empty text if nothing shows it.

    `own`: the context's own patch writes the code, so that what was shown after its edit counts too.
    """
    told = (seen.wrote, seen.after) if own else (seen.wrote,)
    new = [line for line in code.splitlines() if _tells(line, seen)]
    doubt = ""
    for line in new:
        if any(plain(line) in text for text in told):
            return True, f"gives {{whose}} line {_safe(line)} away"
        for text in told:  # what the environment shows may hold a few of the tokens by chance, and quotes whole lines
            least = limits.leak_tokens if text is seen.wrote else limits.sure_leak_tokens
            if part := _part(line, text, least, seen, limits):
                found = f"gives away {_safe(''.join(part))}, a part of {{whose}} line {_safe(line)}"
                if len(part) >= limits.sure_leak_tokens:
                    return True, found
                doubt = doubt or found
    if not doubt and (name := _new_name(new, seen)):
        doubt = f"names {_safe(name)}, which {{whose}} lines bring in"
    return False, doubt


def _safe(code: str) -> str:
    return repr(code.strip()).replace("{", "{{").replace("}", "}}")


def _tells(line: str, seen: View) -> bool:
    code = plain(line)
    return len(code) >= MIN_LINE and code not in MASK and code not in seen.shown


def _part(line: str, text: str, least: int, seen: View, limits: RuleLimits) -> list[str]:
    """The longest run of at least so many tokens of a line that a text has and nothing showed before; else empty."""
    tokens = _TOKEN.findall(line.replace("\\", "").replace('"', "'"))
    here = {token: token in text for token in set(tokens) if len(token) > 3}
    own = {token: weight(token) for token in tokens}
    longest: list[str] = []
    for i in range(len(tokens) - least + 1):
        end = i
        while end < len(tokens) and here.get(tokens[end], True):
            if end - i >= least - 1 and "".join(tokens[i : end + 1]) not in text:  # shorter ones need no search
                break
            end += 1
        some = tokens[i:end]
        enough = len(some) >= max(least, len(longest) + 1) and sum(own[t] for t in some) >= limits.leak_chars
        if enough and "".join(some) not in seen.shown:
            longest = some
    return longest


def _new_name(lines: list[str], seen: View) -> str:
    """A name in the code of the lines that nothing had shown and that the policy wrote as a name; empty if none."""
    for name in _names(lines):
        if name not in seen.wrote or name in seen.shown:
            continue
        made = "_" in name.strip("_") or not (name.islower() or name.istitle() or name.isupper())
        around = rf"\b{re.escape(name)}\b" if made else rf"[`.(]{re.escape(name)}\b|\b{re.escape(name)}(?:[`(=]|\.\w)"
        if re.search(around, seen.words):
            return name
    return ""


def _names(lines: list[str]) -> Iterator[str]:
    code = (_TEXT.sub("", line) for line in lines)
    return iter(dict.fromkeys(name for line in code for name in _NAME.findall(line) if name not in COMMON))
