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
    "a hunk": ("@@ -1,3 +1,4 @@", "@@ -1,3 +1,5 @@"),
}


@pytest.mark.parametrize("one, other", ALIKE.values(), ids=ALIKE)
def test_what_differs_between_any_two_runs_does_not_count(one, other):
    assert likeness(one, other, BOTH) == "normalised" and likeness(one, one, BOTH) == "exact"


@pytest.mark.parametrize("one, other", DIFFERENT.values(), ids=DIFFERENT)
def test_a_result_counts(one, other):
    assert likeness(one, other, BOTH, ordered=False) == "different"


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%a %b %d %H:%M:%S %Y", "%F %T,123"])
def test_only_times_of_the_two_runs_are_taken_away(form):
    assert likeness(f"at {at(THEN, form)}", f"at {at(NOW + 3600, form)}", BOTH) == "normalised"
    long_ago = timedelta(days=900).total_seconds()
    assert likeness(f"at {at(THEN - long_ago, form)}", f"at {at(NOW - long_ago, form)}", BOTH) == "different"
    # where nobody wrote down when the run was, any date is taken for one of it
    assert likeness(f"at {at(THEN - long_ago, form)}", f"at {at(NOW, form)}", None) == "normalised"


def test_an_order_counts_where_it_means_something():
    one, other = "./a.py: 1\n./b.py: 2", "./b.py: 2\n./a.py: 1"
    assert likeness(one, other, ordered=False) == "reordered" and likeness(one, other) == "different"
    assert likeness("{'a', 'b'}", "{'b', 'a'}") == "reordered", "the order of hashes never means anything"
    assert likeness("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", ordered=False) == "different"
    assert likeness(f"{one}\n{one}", f"{one}\n./a.py: 1\n./a.py: 1", ordered=False) == "different"


FRAGMENTS = st.sampled_from(
    [text for pair in (*ALIKE.values(), *DIFFERENT.values()) for text in pair]
    + ["\x1b", "[", "0m", "in ", "0.5s", " =", "=", "\n", "\r", "at 0x", "pid ", "<", ">", "total 3", "7", "index "]
)
TEXTS = st.lists(FRAGMENTS | st.text(max_size=5), max_size=8).map("".join)


@given(TEXTS, st.sampled_from([(), BOTH, None]))
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


@pytest.mark.parametrize("text", ["{" + "," * 200_000, "\r" * 200_000, "{a, " * 50_000, "in " * 100_000])
def test_no_text_takes_long(text):
    started = time.perf_counter()
    assert likeness(text, text + "x", BOTH, ordered=False) == "different"
    assert time.perf_counter() - started < 3
