"""Reading a letter off what a model wrote.

Invariant: a letter is returned only where the text commits to one; a text that weighs both and settles on none, or
was cut off while thinking, gives None. The article "A" is no answer.
"""

from __future__ import annotations

import re

from contextrl.probe.predictions import Letter

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_MARKUP = re.compile(r"[*_`#~$]|\\(?:boxed|text|mathrm|textbf)\b|[{}]")
_WRAPPED = r"[(\[\"'\u201c]*(?P<letter>[AB])[)\]\"'\u201d]*"
_LETTER = r"[(\[\"'\u201c]*(?P<letter>[AB])\b(?![-'\u2019]|\s+(?![Bb]ecause|[Ss]ince|[Aa]s\b|[Ss]upports)[a-z])"
_WHOLE = re.compile(rf"\W*?(?:(?:option|context|answer|choice)\b\W*)?{_WRAPPED}\W*", re.IGNORECASE)
_STATED = re.compile(
    r"\b(?:answer|choice|reply|verdict|conclusion)\b(?:\s+(?:is|would\s+be|should\s+be))?\s*[:=\-]*\s*"
    rf"(?:(?:the\s+)?(?:option|context|letter|choice)\s+)?{_LETTER}",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"\b(?:i(?:'d| would)?\s+(?:choose|pick|select|go\s+with)|it\s+is|it's)\s+"
    rf"(?:(?:the\s+)?(?:option|context|letter)\s+)?{_LETTER}",
    re.IGNORECASE,
)
_FIRST = re.compile(rf"\W*?{_WRAPPED}(?:[.,:;!]|(?<=[)\]])|\s*[-\u2013\u2014]\s|\s*\n|\s+(?:because|since|supports)\b)")
_NAMED = re.compile(rf"\b(?:option|context|choice)\s+{_WRAPPED}(?![\w|])", re.IGNORECASE)


def parse_letter(text: str) -> Letter | None:
    """`A`, `(B)`, `Answer: A`, `Context B`, `**B** because ...`, also after `</think>`; None where it is not clear."""
    said = _spoken(text)
    if said is None:
        return None
    lines = [line for line in said.splitlines() if line.strip()]
    if not lines:
        return None
    for alone in (said, lines[-1], lines[0]):
        if whole := _WHOLE.fullmatch(alone):
            return _letter(whole)
    for pattern in (_STATED, _CHOSEN):
        if stated := [m for m in pattern.finditer(said) if m["letter"].isupper()]:
            return _letter(stated[-1])
    if first := _FIRST.match(said):
        return _letter(first)
    named = {m["letter"].upper() for m in _NAMED.finditer(said)}
    return "A" if named == {"A"} else "B" if named == {"B"} else None


def _spoken(text: str) -> str | None:
    """What was said after thinking, without mark-up; None if the thinking did not end."""
    text = _THOUGHT.sub("", text)
    for end in ("</think>", "</thinking>", "</reasoning>"):  # templates may have begun the thinking in the prompt
        text = text.rpartition(end)[2]
    if re.search(r"<(think|thinking|reasoning)>", text, re.IGNORECASE):
        return None
    return _MARKUP.sub("", text).strip()


def _letter(match: re.Match[str]) -> Letter:
    return "A" if match["letter"].upper() == "A" else "B"
