import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contextrl.probe.letters import parse_letter

SAID = {
    "A": "A",
    "b": "B",
    " (B) ": "B",
    "Answer: A": "A",
    "**Answer:** B": "B",
    "Context B": "B",
    "The answer is B.": "B",
    "<think>maybe A or B</think>\n\nA": "A",
    "maybe A</think>B": "B",
    "\\boxed{B}": "B",
    "$\\boxed{\\text{A}}$": "A",
    "Context A supports it.": "A",
    "Context A shows x, context B shows y.\nAnswer: B": "B",
    "Context A shows x, context B shows y.\n\n**B**": "B",
    "A because it reads": "A",
    "A\nBecause it shows": "A",
    "B, since": "B",
    "B) the second": "B",
    "I choose context B": "B",
    "My answer: (A)": "A",
    "Final answer\n\nB": "B",
    "The answer would be option A, not B": "A",
    "The correct choice is **B**: x": "B",
    "Answer: A. No, wait. Answer: B": "B",
}
UNCLEAR = [
    "",
    "<think>A",
    "A context is missing",
    "A good reason is that B",
    "I think A and B are alike.",
    "Context A shows x, context B shows y.",
    "Neither A nor B",
    "Both.",
    "It is a tie",
    "Answer: a context that",
    "The answer is a bit unclear",
    "The answer is not clear; A or B",
    "Answer: A or B",
    "The answer is either A or B",
    "Reply with A or B.",
    "A| fix it",
    "As an AI I cannot say",
]


@pytest.mark.parametrize(("text", "letter"), SAID.items())
def test_a_stated_letter_is_read(text, letter):
    assert parse_letter(text) == letter


@pytest.mark.parametrize("text", UNCLEAR)
def test_no_letter_is_made_up(text):
    assert parse_letter(text) is None


WRAPPED = ["{}", "({})", "[{}]", "**{}**", "`{}`", '"{}"', "{}.", "{})", "Context {}", "Answer: {}", "answer is ({})."]


@given(
    st.sampled_from("AB"),
    st.sampled_from(WRAPPED),
    st.sampled_from(["", " ", "\n\n"]),
    st.sampled_from(["", "<think>is it A? is it B? {}</think>", "A</think>\n"]),
)
def test_wrapping_changes_nothing(letter, wrapping, space, thought):
    assert parse_letter(thought + space + wrapping.format(letter) + space) == letter


@given(st.text())
@example("\\boxed{" * 3)
def test_any_text_has_an_answer_or_none(text):
    assert parse_letter(text) in ("A", "B", None)


@given(st.text(alphabet=sorted(set(string.printable) - set("AaBb"))))
def test_without_letters_there_is_no_answer(text):
    assert parse_letter(text) is None
