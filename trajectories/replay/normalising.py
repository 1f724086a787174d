"""Texts of two runs of one command, without what differs between any two runs.

Invariant: normalising is idempotent, and it takes away only what no result depends on: temporary names, durations,
points in time of the two runs themselves, addresses, process ids, seeds, ephemeral ports. A number that a command was
asked for stays, and so do dates of other times.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from trajectories.replay.report import Likeness

_DAY = 86400.0
_EPHEMERAL = 32768
"""The first port that Linux gives out by itself."""
_NUMBER = r"\d+(?:\.\d+)?"
_MEASURED = r"\d+\.\d+"
"""A duration that a program measured has a fraction; one that a person or a result names has none."""
_UNIT = r"(?:ms|s|secs?|seconds?|minutes?)"
_MODE = r"[-dlbcps][-rwxsStT]{9}[.+@]?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"

_ALWAYS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), put)
    for pattern, put in (
        (r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)", ""),
        (r"(?<!\r)\r+\n", "\n"),
        (r"/tmp/pytest-of-[\w.-]+/pytest-\d+", "/tmp/<folder>"),
        (r"/tmp/tmp[a-z0-9_]{8}(?![a-z0-9_])", "/tmp/<name>"),
        (r"/tmp/tmp\.[A-Za-z0-9]{6,12}\b", "/tmp/<name>"),
        # pytest's last line is as wide as the terminal, whatever the time takes of it
        (rf"^=+( .*\bin ){_NUMBER}{_UNIT}(?: \(\d+:\d\d:\d\d\))? =+$", r"===\1<duration> ==="),
        (rf"\b([Ii]n|[Tt]ook|[Ee]lapsed:?|[Ee]lapsed time:?|[Dd]uration:?) {_MEASURED} ?{_UNIT}\b", r"\1 <duration>"),
        (rf"^{_NUMBER}s( +(?:call|setup|teardown) )", r"<duration>\1"),
        (r"^(real|user|sys)\t\d+m\d+\.\d+s$", r"\1\t<duration>"),
        (r"\bat 0x[0-9a-fA-F]{6,16}\b", "at <address>"),
        (r"\b0x(?:7[ef]|5[5-6])(?!f{10})[0-9a-f]{10}\b", "<address>"),
        (r"\b([Pp][Ii][Dd])([ =:]+)\d{2,}\b", r"\1\2<pid>"),
        (r"^\[(\d+)\] \d{2,8}$", r"[\1] <pid>"),
        (r"\[gw\d+\]", "[gw<n>]"),
        (r"(--randomly-seed=|PYTHONHASHSEED=)\d+", r"\1<seed>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b", "<uuid>"),
        (r"^(?:/\S*/)?bash: (?:eval: )?line \d+: ", "bash: "),
        (r"^index [0-9a-f]{7,40}\.\.[0-9a-f]{7,40}", "index <hash>..<hash>"),
        (rf"^total \d+\n(?={_MODE} )", "total <blocks>\n"),
        # who owns a file, how large a folder is and when either was written is not the repository's
        (rf"^(d{_MODE[len('[-dlbcps]') :]}) +\d+ +\S+ +\S+ +\d+ {_MONTH} +\d+ +[\d:]+ ", r"\1 <folder> "),
        (rf"^({_MODE}) +\d+ +\S+ +\S+ +(\d+) {_MONTH} +\d+ +[\d:]+ ", r"\1 <file> \2 "),
    )
)
_PORT = re.compile(r"\b(localhost|127\.0\.0\.1|0\.0\.0\.0)(:)(\d{5})\b")
_MOMENT = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?"
    rf"|\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?{_MONTH} [ \d]\d \d\d:\d\d:\d\d"
    r" (?:[A-Z]{3,4} )?\d{4}(?: [+-]\d{4})?"
)
_SET = re.compile(r"\{([^{}:\n]{1,2000})\}")


def normalised(text: str, moments: Sequence[float] | None = ()) -> str:
    """The text without what differs between any two runs.

    `moments`: when the runs were, seconds since 1970; a date and time within a day of one of them is taken away. None:
    it is not known when, and every date and time is.
    """
    before = None
    while text != before:  # what is left of one may, with what is left of another, look like a third
        before, text = text, _once(text, moments)
    return text


def _once(text: str, moments: Sequence[float] | None) -> str:
    for pattern, put in _ALWAYS:
        text = pattern.sub(put, text)
    text = _PORT.sub(lambda m: f"{m[1]}{m[2]}<port>" if int(m[3]) >= _EPHEMERAL else m[0], text)
    return _MOMENT.sub(_near(moments), text)


def likeness(expected: str, got: str, moments: Sequence[float] | None = (), *, ordered: bool = True) -> Likeness:
    """How alike two observations are. `ordered`: their lines mean something in this order only."""
    if expected == got:
        return "exact"
    a, b = (normalised(text, moments).split("\n") for text in (expected, got))
    if a == b:
        return "normalised"
    a, b = ([_in_order(line) for line in lines] for lines in (a, b))
    return "reordered" if a == b or (not ordered and Counter(a) == Counter(b)) else "different"


def _in_order(line: str) -> str:
    """The line with the members of each set that is written in it sorted: their order is that of their hashes."""
    return _SET.sub(lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", line)


def _near(moments: Sequence[float] | None) -> Callable[[re.Match[str]], str]:
    def put(found: re.Match[str]) -> str:
        if moments is None:
            return "<time>"
        near = any(abs(time - moment) < _DAY for time in _times(found[0]) for moment in moments)
        return "<time>" if near else found[0]

    return put


def _times(text: str) -> Iterator[float]:
    """The point in time that a text names, as if it were in UTC; a day's leeway covers the zones."""
    plain = re.sub(r"[.,]\d+|Z$| ?[+-]\d\d:?\d\d$| [A-Z]{3,4}(?= )|^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ", "", text)
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%b %d %H:%M:%S %Y"):
        try:
            yield datetime.strptime(plain, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
