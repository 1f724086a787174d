"""A pair asks about definitions where they differ, and about the repaired lines where they do not."""

import pytest

from trajectories.mining.answers import asked, contains
from trajectories.protocol import RightAnswer

WHOLE = "def f(a):\n    b = abs(a)\n    return b + 1\n"


def repair(old: str, new: str, answer: str = WHOLE) -> RightAnswer:
    changed = [f"-{line}" for line in old.splitlines()] + [f"+{line}" for line in new.splitlines()]
    return RightAnswer(answer, "\n".join(["--- a/m.py", "+++ b/m.py", "@@ -1,2 +1,2 @@", " def f(a):", *changed, ""]))


FIRST, LAST = repair("    b = a", "    b = abs(a)"), repair("    return b - 1", "    return b + 1")


def test_definitions_that_differ_are_asked_about():
    other = repair("    return b", "    return b * 2", "def f(a):\n    return b * 2\n")
    assert asked([FIRST], [other]) == (WHOLE, other.answer, "")


def test_of_equal_definitions_only_the_added_lines_are_asked_about():
    respaced = LAST._replace(answer=WHOLE.replace("    ", "\t"))
    assert asked([FIRST], [respaced]) == ("    b = abs(a)\n", "    return b + 1\n", "    b = a\n")
    both = repair("    b = a\n    return b", "\n    b = abs(a)\n    return b + 1")
    assert asked([both], [FIRST])[0] == "    b = abs(a)\n    return b + 1\n"


def test_definitions_of_which_one_has_the_other_are_told_apart_by_lines():
    more = repair("    return c", "    return c + 1", WHOLE + "\ndef g(c):\n    return c + 1\n")
    assert asked([FIRST], [more])[:2] == ("    b = abs(a)\n", "    return c + 1\n")
    assert asked([more], [FIRST])[:2] == ("    return c + 1\n", "    b = abs(a)\n")


def test_another_wording_does_not_hide_that_two_tasks_want_the_same():
    reworded = repair("    b = a", "    b = max(a, -a)", WHOLE.replace("abs(a)", "max(a, -a)"))
    assert asked([reworded, FIRST], [LAST])[:2] == ("    b = abs(a)\n", "    return b + 1\n")
    assert asked([LAST], [reworded, FIRST])[:2] == ("    return b + 1\n", "    b = abs(a)\n")


def test_where_no_lines_are_known_the_definitions_stay():
    only_removes, no_patch = repair("    b = a", ""), RightAnswer(WHOLE)
    for other in (only_removes, no_patch):
        assert asked([FIRST], [other]) == asked([other], [FIRST]) == (WHOLE, WHOLE, "")
    assert asked([FIRST], []) == (WHOLE, "", "")


@pytest.mark.parametrize(
    ("text", "part", "expected"),
    [
        ("a\n  b c\n", "bc\n", True),
        ("a\nb\n", "b\na\n", True),
        ("a + 1\n", "a\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n", " \n", False),
    ],
)
def test_contains_goes_by_whole_lines(text, part, expected):
    assert contains(text, part) is expected
