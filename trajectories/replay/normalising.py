"""Texts of two runs of one command, without what differs between any two runs.

Invariant: normalising is idempotent and takes linear time, and it takes away only what no result depends on: temporary
names, durations that were measured, points in time of the two runs themselves, addresses, process ids, seeds, ephemeral
ports. A number that a command was asked for stays, and so do dates of other times; what may be the one or the other by
its shape stays too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from trajectories.replay.moments import MONTH, without_moments, without_paired_moments
from trajectories.replay.report import Likeness
from trajectories.replay.sets import with_sets_sorted
from trajectories.replay.tempnames import without_drawn

_EPHEMERAL = 32768
"""The first port that Linux gives out by itself."""
_NUMBER = r"\d+(?:\.\d+)?"
_SECONDS = r"(?:[nuµμm]s|[num]?secs?|s|seconds?)"
_UNIT = rf"(?:{_SECONDS}|min|m|h)(?![A-Za-z])"
_SPAN = rf"(?:(?:{_NUMBER} ?{_UNIT}(?: (?=\d))?)+|(?:\d+:)?\d\d?:\d\d(?:\.\d+)?(?: min\b)?)"
_MEASURED = rf"(?:(?:\d+ ?h ?)?(?:\d+ ?m(?:in)? ?)?\d+\.\d+ ?{_SECONDS}\b|\d+:\d\d:\d\d\.\d+)"
"""A duration that a program measured has a fraction; one that a person or a result names has none."""
_TOOLS = "|".join(
    (
        r"BUILD (?:SUCCESSFUL|FAILED) in ",  # gradle
        r"\[INFO\] Total time: +",  # maven
        r" *Finished [^\n]{1,100} target\(s\) in ",  # cargo
        r"(?:Resolved|Prepared|Installed|Uninstalled|Audited) \d+ packages? in ",  # uv
        r"(?:added|removed|changed|up to date,) [^\n]{0,100}\bpackages? in ",  # npm
        r"(?:ok  |FAIL)\t\S+\t| *--- (?:PASS|FAIL|SKIP): \S+ \(",  # go test
        r"  \d+ (?:passing|failing) \(|Time: {8}",  # mocha, jest
    )
)
"""How lines begin in which these programs say how long they took; they also write whole numbers."""
_MODE = r"[-dlbcps][-rwxsStT]{9}[.+@]?"
_FOLDER = f"d{_MODE[len('[-dlbcps]') :]}"
_COUNTED = r"^(?: *\d+ ){0,2} *"
"""`ls` puts inodes and blocks before a mode."""
_OWNED = r" +\d+ +\S+ +\S+ +"
_WRITTEN = (
    rf" +(?:{MONTH} +\d+ +[\d:]+|\d+\.? {MONTH} +[\d:]+"
    r"|\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d\.\d+ [+-]\d{4})?| )|\d\d-\d\d \d\d:\d\d) "
)
_SIZE = r"\d[\d.,]*[KMGT]?"

_ALWAYS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), put)
    for pattern, put in (
        # no escape is left, so that what is left of two makes no third
        (r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|\([0AB])?", ""),
        (r"(?<!\r)\r+\n", "\n"),
        (r"/tmp/pytest-of-[\w.-]+/pytest-\d+", "/tmp/<folder>"),
        (r"/tmp/tmp[a-z0-9_]{8}(?![a-z0-9_])", "/tmp/<name>"),
        (r"/tmp/tmp\.[A-Za-z0-9]{6,12}\b", "/tmp/<name>"),
        (r"(/tmp/pip-(?:[a-z]+-)*)[a-z0-9_]{8}(?![\w-])", r"\1<name>"),
        # pytest's last line is as wide as the terminal, whatever the time takes of it
        (rf"^=+( .*\bin ){_NUMBER}s(?: \(\d+:\d\d:\d\d\))? =+$", r"===\1<duration> ==="),
        (rf"\b([Ii]n|[Tt]ook|[Ee]lapsed:?|[Ee]lapsed time:?|[Dd]uration:?) {_MEASURED}", r"\1 <duration>"),
        (rf"^({_TOOLS}){_SPAN}(?=[\s,)]|$)", r"\1<duration>"),
        (rf"^\d+ loops?, best of (\d+): {_SPAN} per loop$", r"best of \1: <duration> per loop"),
        (rf"^{_NUMBER}s( +(?:call|setup|teardown) )", r"<duration>\1"),
        (r"^(real|user|sys)\t\d+m\d+\.\d+s$", r"\1\t<duration>"),
        (r"\bat 0x[0-9a-fA-F]{6,16}\b", "at <address>"),
        (r"\b0x(?:7[ef]|5[5-6])(?!f{10})[0-9a-f]{10}\b", "<address>"),
        (r"\b([Pp][Ii][Dd])([ =:]+)\d{2,}\b", r"\1\2<pid>"),
        (r"^\[(\d+)\] \d{2,8}$", r"[\1] <pid>"),
        (r"\[gw\d+\]", "[gw<n>]"),
        (r"(--randomly-seed=|PYTHONHASHSEED=)\d+", r"\1<seed>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b", "<uuid>"),
        (r"^(?:/\S*/)?bash: (?:(?:-c: |eval: )?line \d+: )+", "bash: "),
        (r"^index [0-9a-f]{7,40}\.\.[0-9a-f]{7,40}", "index <hash>..<hash>"),
        (rf"^total {_SIZE}\n(?=(?: *\d+ ){{0,2}} *{_MODE} )", "total <blocks>\n"),
        # who owns a file, where it lies on the disk, how large a folder is and when either was written is not the
        # repository's
        (rf"{_COUNTED}({_FOLDER}){_OWNED}{_SIZE}{_WRITTEN}", r"\1 <folder> "),
        (rf"{_COUNTED}({_MODE}){_OWNED}({_SIZE}){_WRITTEN}", r"\1 <file> \2 "),
    )
)
_PORT = re.compile(r"\b(localhost|127\.0\.0\.1|0\.0\.0\.0)(:)(\d{5})\b")


def normalised(text: str, moments: Sequence[float] = ()) -> str:
    """The text without what differs between any two runs.

    `moments`: when the runs were, seconds since 1970; a date and time within a day of one of them is taken away.
    """
    before = None
    while text != before:  # what is left of one may, with what is left of another, look like a third
        before, text = text, _once(text, moments)
    return text


def _once(text: str, moments: Sequence[float]) -> str:
    for pattern, put in _ALWAYS:
        text = pattern.sub(put, text)
    text = _PORT.sub(lambda m: f"{m[1]}{m[2]}<port>" if int(m[3]) >= _EPHEMERAL else m[0], text)
    return without_moments(text, moments)


def likeness(
    expected: str, got: str, moments: Sequence[float] = (), *, ordered: bool = True, dated: bool = True
) -> Likeness:
    """How alike two observations are.

    `ordered`: their lines mean something in this order only. `dated`: it is known when `expected` was printed; else
    whatever it names where the other names a time of `moments` is taken for a time of its own run.
    """
    if expected == got:
        return "exact"
    one, other = (expected, got) if dated else without_paired_moments(expected, got, moments)
    one, other = without_drawn(normalised(one, moments), normalised(other, moments))
    if one == other:
        return "normalised"
    a, b = ([with_sets_sorted(line) for line in text.split("\n")] for text in (one, other))
    return "reordered" if a == b or (not ordered and Counter(a) == Counter(b)) else "different"
