"""Problem statements: every style tells what the test showed, and none tells the bug."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.synthesis.observed import tells
from envs.synthesis.statement import LONG_CHARS, MAX_CHARS, STYLES, problem_statement, style_of
from envs.testing.runner import Failure

TEST_FILE = """class T:
    def test_high(self):
        self.assertEqual(
            clamp(50, 0, 9),
            9,
        )

def test_low():
    assert 0 == m.clamp(-1, 0, 9)
"""
UNITTEST = {"tests.a.T.test_high": Failure("AssertionError", "0 != 9", "tests/a.py", 4)}
PYTEST = {"tests/a.py::test_low": Failure("AssertionError", "assert 0 == -1\n +  where -1 = f()", "tests/a.py", 9)}


def told(style, failures=UNITTEST, hidden=(), failing=None, read=lambda path: TEST_FILE):
    return problem_statement("m.py::clamp", failing or list(failures), failures, read, hidden, style)


def test_the_terse_style_is_one_sentence():
    assert told("terse") == (
        "`clamp` in m.py does not behave as its tests expect: T.test_high fails at "
        "`self.assertEqual( clamp(50, 0, 9), 9, )` with `0 != 9`. Fix it."
    )


def test_an_issue_says_call_expected_and_got():
    text = told("issue")
    assert "# `clamp` returns a wrong result" in text and "```python\nclamp(50, 0, 9)\n```" in text
    assert "### Expected\n\n`9`" in text and "### Actual\n\n`0`" in text
    text = told("issue", PYTEST)
    assert (
        "```python\nm.clamp(-1, 0, 9)\n```" in text and "### Expected\n\n`0`" in text and "### Actual\n\n`-1`" in text
    )
    raised = {"tests.a.T.test_high": Failure("TypeError", "no such thing", "tests/a.py", 4)}
    assert "`clamp` raises TypeError" in told("issue", raised)
    assert "### Actual\n\n`TypeError: no such thing`" in told("issue", raised)


def test_a_report_has_the_error_and_the_line():
    text = told("traceback")
    assert "  in T.test_high\n    self.assertEqual( clamp(50, 0, 9), 9, )\nAssertionError: 0 != 9\n" in text
    assert "should have been `9`" in text


def test_tests_are_named_and_many_are_counted():
    many = [f"tests.a.T.test_{i:02}" for i in range(14)]
    text = told("test", {}, failing=many)
    assert "`T.test_00`, `T.test_01`" in text and "and 4 more" in text and "come to an end" in text


@pytest.mark.parametrize("style", STYLES)
def test_a_hang_and_a_test_without_text_are_told_too(style):
    assert "clamp" in told(style, {}, failing=["a.T.t"])
    assert "clamp" in told(style, read=lambda path: "not python (")


def test_the_style_goes_by_hash():
    chosen = [style_of(f"task-{i}") for i in range(200)]
    assert chosen == [style_of(f"task-{i}") for i in range(200)] != [style_of(f"task-{i}", 1) for i in range(200)]
    assert all(chosen.count(style) > 25 for style in STYLES)
    assert {style_of(f"task-{i}", styles=("issue",)) for i in range(9)} == {"issue"}
    with pytest.raises(ValueError, match="no style 'novel' of problem statements: choose of terse, issue"):
        told("novel")


LINES = st.sampled_from(["if value > high:", "return  values[ 1:count ]", "x = `0x7f3a2b1c` + y", "total += a*b  # é"])
NOISE = st.text(alphabet="ab =!`'\"()\n\t[]\\é0x", max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.data(), LINES, st.sampled_from(STYLES), st.booleans())
def test_no_style_quotes_a_hidden_line(data, line, style, in_test):
    spaces = data.draw(st.sampled_from([" ", "  ", "\t"]))
    quoted = data.draw(NOISE) + line.replace(" ", spaces) + data.draw(NOISE)
    test_file = (
        f"if 1:\n    {line} x\n" if in_test and line.endswith(":") else f"f('''{quoted}''')\n" if in_test else "f()\n"
    )
    message = data.draw(NOISE) if in_test else quoted * data.draw(st.integers(1, 40))
    failure = Failure(data.draw(st.sampled_from(["AssertionError", "ValueError"])), message, "tests/a.py", 1)
    text = told(style, {"a.T.t": failure}, [line, "pass"], read=lambda path: test_file)
    assert not tells(text, [line])
    assert " ".join(line.split()) not in " ".join(text.split())
    assert len(text) < (MAX_CHARS if style == "terse" else LONG_CHARS)


def test_a_line_that_says_nothing_hides_nothing():
    assert told("terse", hidden=("pass", "clamp", "x.y.z.long_name")) == told("terse")
    assert "0 != 9" not in told("terse", hidden=("0 != 9",))
