"""What the normaliser takes away, and what it must leave: every digit of a result."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trajectories.replay.normalising import likeness, normalised

NOW = 1_700_000_000.0
THEN = NOW - 40 * 86400.0
BOTH = (THEN, NOW)


def at(moment: float, form: str) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime(form)


ALIKE = {
    "pytest's last line": ("==== 3 passed in 0.12s ====", "=== 3 passed in 10.34s (0:00:10) ==="),
    "unittest's last line": ("Ran 3 tests in 0.001s\n\nOK", "Ran 3 tests in 1.1s\n\nOK"),
    "slow tests": ("0.51s call     test_a.py::test_b", "1.20s call     test_a.py::test_b"),
    "bash's time": ("real\t0m0.012s", "real\t1m3.100s"),
    "a temporary folder": ("see /tmp/tmpab12_x9z/a.txt", "see /tmp/tmpzz99yy88/a.txt"),
    "mktemp": ("/tmp/tmp.Ab12Cd34Ef", "/tmp/tmp.Zz99Yy88Xx"),
    "pytest's folder": ("/tmp/pytest-of-root/pytest-0/x", "/tmp/pytest-of-sandbox/pytest-12/x"),
    "an address": ("<A object at 0x7f12ab34cd56>", "<A object at 0x55aa12345678>"),
    "a process id": ("pid 123 is done", "pid 99881 is done"),
    "a job": ("[1] 1234", "[1] 88"),
    "a port": ("http://127.0.0.1:45123/", "http://127.0.0.1:60001/"),
    "a seed": ("Using --randomly-seed=12", "Using --randomly-seed=99"),
    "workers": ("[gw0] PASSED test_a", "[gw3] PASSED test_a"),
    "colours": ("\x1b[31mred\x1b[0m", "red"),
    "line ends": ("a\r\nb", "a\nb"),
    "the line of a shell": ("bash: line 3: x: command not found", "bash: x: command not found"),
    "hashes of a diff": ("index 1234567..89abcde 100644", "index 1234567890..89abcdef01 100644"),
    "a list": (
        "total 8\n-rw-r--r-- 1 root root 12 Apr 30 08:32 a.py\ndrwxr-xr-x 2 root root 4096 Mar 31  2025 lib",
        "total 0\n-rw-r--r--  1 sandbox sandbox 12 Nov 28 09:00 a.py\ndrwxr-xr-x 11  65534  65534 40 Jan  1  2000 lib",
    ),
    "the line of `bash -c`": ("bash: -c: line 1: syntax error", "bash: line 1: syntax error"),
    "a list in ISO style": (
        "-rw-r--r-- 1 a a 12 2026-11-28 09:28 a.py\n-rw-r--r-- 1 a a 3 2025-01-02  b.py",
        "-rw-r--r-- 1 b b 12 11-29 10:00 a.py\n-rw-r--r-- 1 b b 3 2026-11-28 09:28:11.123456789 +0000 b.py",
    ),
    "a list in words of sizes": (
        "total 4.0K\ndrwxr-xr-x 2 a a 4.0K Apr 30 08:32 lib\n-rw-r--r-- 1 a a 1.2K 30. Apr 08:32 a.py",
        "total 12K\ndrwxr-xr-x 2 a a   60 Apr 30 08:32 lib\n-rw-r--r-- 1 a a 1.2K Nov 28 09:00 a.py",
    ),
    "a list with inodes": (
        "total 8\n123456 4 -rw-r--r-- 1 a a 12 Apr 30 08:32 a.py\n    88 -rw-r--r-- 1 a a 1 Apr 30 08:32 b",
        "total 0\n    99 0 -rw-r--r-- 1 a a 12 Apr 30 08:32 a.py\n923456 -rw-r--r-- 1 a a 1 Apr 30 08:32 b",
    ),
    "a temporary folder with a prefix": ("/tmp/build-a1b2c3dz/x", "/tmp/build-abcd_wxy/x"),
    "pip's folder": ("in /tmp/pip-req-build-abcdefgh", "in /tmp/pip-req-build-wxyz5678"),
    "milliseconds": ("took 3.25 ms", "took 4.5 ms"),
    "microseconds": ("took 3.2 µs", "took 0.9 s"),
    "minutes and measured seconds": ("took 1m 3.2s", "took 59.1s"),
    "a clock that runs": ("Elapsed: 0:00:01.234", "Elapsed: 0:01:03.9"),
    "timeit": ("1000 loops, best of 5: 201 usec per loop", "2000 loops, best of 5: 1.02 msec per loop"),
    "gradle": ("BUILD SUCCESSFUL in 1m 3s", "BUILD SUCCESSFUL in 812ms"),
    "maven": ("[INFO] Total time:  01:03 min", "[INFO] Total time:  1.234 s"),
    "cargo": ("    Finished `dev` profile target(s) in 1m 03s", "    Finished `dev` profile target(s) in 0.31s"),
    "uv": ("Resolved 12 packages in 31ms", "Resolved 12 packages in 1.02s"),
    "npm": ("added 57 packages, and audited 58 packages in 3s", "added 57 packages, and audited 58 packages in 1m"),
    "go": ("ok  \tshop/cart\t0.012s", "ok  \tshop/cart\t1.2s"),
    "jest": ("Time:        3 s, estimated 4 s", "Time:        1.25 s, estimated 4 s"),
    "a random id": ("id 1b4e28ba-2fa1-4d2e-883f-0016d3cca427", "id 6fa459ea-ee8a-4ca4-894e-db77e160355e"),
}
DIFFERENT = {
    "counts": ("3 passed in 0.12s", "2 passed in 0.12s"),
    "a float": ("0.1234 seconds of arc", "0.1235 seconds of arc"),
    "a size": ("-rw-r--r-- 1 a a 12 Apr 30 08:32 a.py", "-rw-r--r-- 1 a a 13 Apr 30 08:32 a.py"),
    "a mode": ("-rw-r--r-- 1 a a 12 Apr 30 08:32 a.py", "-rwxr-xr-x 1 a a 12 Apr 30 08:32 a.py"),
    "a fixed port": ("http://localhost:8000/", "http://localhost:8001/"),
    "a fixed port of five digits": ("http://localhost:27017/", "http://localhost:27018/"),
    "a small number in hex": ("0x1f", "0x2f"),
    "a date of another time": ("2013-05-09 03:56:47", "2013-05-09 03:56:48"),
    "a version": ("Python 3.11.7", "Python 3.11.8"),
    "an exit": ("exited with 1", "exited with 2"),
    "a path": ("/tmp/report1.txt", "/tmp/report2.txt"),
    "a line number": ("a.py:12: error", "a.py:13: error"),
    "a duration that is meant": ("try again in 5 minutes", "try again in 6 minutes"),
    "a whole number of seconds": ("it took 3 s", "it took 3000 s"),
    "an id that is no process": ("Pid: 3", "Pid: 4"),
    "a seed that was asked for": ("random seed 42", "random seed 43"),
    "a port in words": ("listening on port 54321", "listening on port 54322"),
    "a constant": ("0x7fffffffffff", "0x7ffffffffffe"),
    "a size in words": ("-rw-r--r-- 1 a a 1.2K Apr 30 08:32 a.py", "-rw-r--r-- 1 a a 1.3K Apr 30 08:32 a.py"),
    "a name that was chosen": ("/tmp/report-version1/x", "/tmp/report-version2/x"),
    "the prefix of a temporary name": ("/tmp/build-a1b2c3dz", "/tmp/parts-a1b2c3dz"),
    "minutes and seconds that are meant": ("retry in 1m 3s", "retry in 1m 4s"),
    "a timedelta": ("0:00:01.200000", "0:00:01.300000"),
    "minutes with a fraction": ("it starts in 1.5 minutes", "it starts in 2.5 minutes"),
    "what took so many packages": ("Resolved 12 packages in 31ms", "Resolved 13 packages in 31ms"),
    "how often the best was sought": ("9 loops, best of 5: 2 sec per loop", "9 loops, best of 3: 2 sec per loop"),
    "a time that is printed": ("Time: 5 s", "Time: 6 s"),
    "a date alone": (at(NOW, "%F"), at(THEN, "%F")),
    "a clock alone": ("12:30:01", "12:30:02"),
    "a hunk": ("@@ -1,3 +1,4 @@", "@@ -1,3 +1,5 @@"),
}


@pytest.mark.parametrize("one, other", ALIKE.values(), ids=ALIKE)
def test_what_differs_between_any_two_runs_does_not_count(one, other):
    assert likeness(one, other, BOTH) == "normalised" and likeness(one, one, BOTH) == "exact"


@pytest.mark.parametrize("one, other", DIFFERENT.values(), ids=DIFFERENT)
def test_a_result_counts(one, other):
    assert likeness(one, other, BOTH, ordered=False) == "different"


FORMS = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%F %T,123",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %Y +0000",
    "%a %b %d %H:%M:%S UTC %Y",  # `date`
    "%a, %d %b %Y %H:%M:%S GMT",  # RFC 2822
    "%a, %d %b %Y %H:%M:%S +0100",
    "[%d/%b/%Y:%H:%M:%S +0000]",  # web servers
    "%a %d %b %Y %I:%M:%S %p UTC",  # `date` of en_US, once and now
    "%a %b %d %I:%M:%S %p CET %Y",
    "Sa %d. %b %H:%M:%S CET %Y",  # `date` of de_DE, now and once
    "Sa %d %b %Y %H:%M:%S UTC",
]


@pytest.mark.parametrize("form", FORMS)
def test_only_times_of_the_two_runs_are_taken_away(form):
    assert likeness(f"at {at(THEN, form)}", f"at {at(NOW + 3600, form)}", BOTH) == "normalised"
    long_ago = timedelta(days=900).total_seconds()
    assert likeness(f"at {at(THEN - long_ago, form)}", f"at {at(NOW - long_ago, form)}", BOTH) == "different"


@pytest.mark.parametrize("form", FORMS)
def test_where_nobody_wrote_down_when_the_run_was_the_other_tells(form):
    long_ago = timedelta(days=900).total_seconds()
    then, now, other = (f"at {at(moment, form)}" for moment in (THEN - long_ago, NOW, NOW - long_ago))
    assert likeness(then, now, [NOW], dated=False) == "normalised"
    assert likeness(then, now, [NOW]) == "different"
    assert likeness(then, other, [NOW], dated=False) == "different", "a time of neither run is a result"
    assert likeness(f"{then}, {then}", f"{now}, {other}", [NOW], dated=False) == "different"
    assert likeness(f"{then}, {other}", f"{now}, {other}", [NOW], dated=False) == "normalised"
    assert likeness(f"{then}, {then}", now, [NOW], dated=False) == "different"


def test_hours_of_the_afternoon_and_months_of_other_languages_are_read():
    evening = NOW - 23 * 3600.0
    assert at(evening, "%p") == "PM" and normalised(at(evening, "%a %d %b %Y %I:%M:%S %p UTC"), [NOW]) == "<time>"
    for number, month in ((3, "Mär"), (5, "Mai"), (10, "Okt"), (12, "Dez")):
        moment = datetime(2024, number, 15, 10, tzinfo=UTC).timestamp()
        assert normalised(f"15. {month} 10:00:00 CET 2024", [moment]) == "<time>"
        assert normalised(f"15. {month} 10:00:00 CET 2023", [moment]) != "<time>"


SETS = (
    ("{frozenset({1, 2}), frozenset({3, 4})}", "{frozenset({4, 3}), frozenset({2, 1})}"),
    ("{'a:b', 'c'}", "{'c', 'a:b'}"),
    ("{'a, b', \"it's\"}", "{\"it's\", 'a, b'}"),
    ("{'k': {1, 2}}", "{'k': {2, 1}}"),
    ("{(1, 2), (3, 4)}", "{(3, 4), (1, 2)}"),
    ("{'\\'}', '{'}", "{'{', '\\'}'}"),
)
NO_SETS = (
    ("{(1, 2), (3, 4)}", "{(2, 1), (3, 4)}"),
    ("{[1, 2]}", "{[2, 1]}"),
    ("{'k': [1, 2]}", "{'k': [2, 1]}"),
    ("import { a, b, c, d } from 'e'", "import { a, c, b, d } from 'e'"),
    ("{'a', 'b'", "{'b', 'a'"),
    ("{a, b)", "{b, a)"),
)


def test_an_order_counts_where_it_means_something():
    one, other = "./a.py: 1\n./b.py: 2", "./b.py: 2\n./a.py: 1"
    assert likeness(one, other, ordered=False) == "reordered" and likeness(one, other) == "different"
    assert likeness("{'a', 'b'}", "{'b', 'a'}") == "reordered", "the order of hashes never means anything"
    assert likeness("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", ordered=False) == "different"
    for one, other in SETS:
        assert likeness(f"x {one}, {{1}}", f"x {other}, {{1}}") == "reordered", one
    for one, other in NO_SETS:
        assert likeness(one, other) == "different", one
    assert likeness(f"{one}\n{one}", f"{one}\n./a.py: 1\n./a.py: 1", ordered=False) == "different"


FRAGMENTS = st.sampled_from(
    [text for pair in (*ALIKE.values(), *DIFFERENT.values()) for text in pair]
    + ["\x1b", "[", "0m", "in ", "0.5s", " =", "=", "\n", "\r", "at 0x", "pid ", "<", ">", "total 3", "7", "index "]
    + ["line 1: ", "eval: ", "-c: ", "/tmp/", "a1b2c3d4", "{", "}", ", ", "'", ":", "Nov", " 28 ", "2026", "12:30:01"]
)
TEXTS = st.lists(FRAGMENTS | st.text(max_size=5), max_size=8).map("".join)


@given(TEXTS, st.sampled_from([(), BOTH]))
@example("\x1b[\x1b[0m0m", ())
@example("\x1b[0mtotal 3\r\r\n", ())
def test_it_is_idempotent(text, moments):
    once = normalised(text, moments)
    assert normalised(once, moments) == once


@given(TEXTS, TEXTS)
def test_equal_texts_stay_equal_and_what_is_alike_is_so_both_ways(one, other):
    assert likeness(one, one, BOTH) == "exact"
    assert likeness(one, other, BOTH, ordered=False) == likeness(other, one, BOTH, ordered=False)


@given(st.text("abcxyz =:,()_/", min_size=1, max_size=20), st.integers(0, 9), st.integers(0, 9))
def test_a_digit_of_a_result_is_never_lost(words, a, b):
    one, other = f"{words}result {a}", f"{words}result {b}"
    assert (likeness(one, other, BOTH, ordered=False) == "different") == (a != b)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_of_a_result_is_never_lost(a, b):
    alike = likeness(f"assert {a} == expected", f"assert {b} == expected", BOTH) != "different"
    assert alike == (str(a) == str(b))


LONG = [
    "{" + "," * 200_000,
    "\r" * 200_000,
    "{a, " * 50_000,
    "{}" * 100_000,
    "{" * 300_000 + "}" * 300_000,
    "{'" * 100_000,
    "{" + "\\'" * 100_000 + "\\",
    "{" * 19 + "(a, {b}), " * 20_000,
    "in " * 100_000,
    "in 1" + "1" * 200_000,
    "\x1b[" * 50_000 + "0m" * 50_000,
    "\x1b" * 50_000 + "[0m" * 50_000,
    "bash: " + "line 1: " * 50_000,
    "bash: line 1: eval: " * 50_000,
    "/tmp/" + "a1b2" * 50_000,
    "/tmp/a" * 50_000,
    "total 1\n" * 50_000,
    " 1" * 100_000 + " -rw-r--r-- 1 a a 1",
    "-rw-r--r-- 1 " + "a " * 100_000,
    "added " + "packages in " * 50_000,
    "Sat 28 Nov " * 50_000,
    "1m " * 100_000,
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_no_text_takes_long(text):
    started = time.perf_counter()
    assert likeness(text, text + "x", BOTH, ordered=False) == "different"
    assert time.perf_counter() - started < 3
