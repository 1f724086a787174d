"""Dialects: rendering and parsing are inverse, and nothing a model writes breaks the parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.toolformat import FORMATS, ParseProblem, detect
from envs.tools import Action

NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
CODE = st.lists(st.sampled_from(["\n", " ", "<", ">", "</parameter>", "<tool_call>", "x = 1", "é", '"', "\\"])).map(
    "".join
)
ACTIONS = st.builds(Action, NAMES, st.dictionaries(NAMES, st.one_of(st.text(), CODE), max_size=3))


@pytest.mark.parametrize("name", FORMATS)
@given(action=ACTIONS)
def test_parse_inverts_render(name, action):
    form = FORMATS[name]
    try:
        text = form.render(action)
    except ValueError as error:
        assert name == "xml" or "call>" in repr(action), error  # only tags inside values may be refused
        assert "<" in repr(action)
        return
    assert form.parse(text) == action
    assert form.parse(f"<think>maybe <tool_call>?</think>Let me see.\n{text}\n") == action


@pytest.mark.parametrize("name", FORMATS)
@given(
    text=st.one_of(st.text(), CODE, CODE.map(lambda t: f"<tool_call>\n<function=view>\n{t}</function>\n</tool_call>"))
)
def test_anything_is_an_action_or_a_problem(name, text):
    result = FORMATS[name].parse(text)
    assert isinstance(result, Action) or (result.message and "\n" not in result.message)


def test_xml_values_lose_one_newline_at_either_end():
    text = (
        "<tool_call>\n<function=edit>\n<parameter=path>\nkavo.py\n</parameter>\n<parameter=new>\n"
        "\ndef f(a, b):\n    return a\n\n</parameter>\n</function>\n</tool_call>"
    )
    expected = Action("edit", {"path": "kavo.py", "new": "\ndef f(a, b):\n    return a\n"})
    assert FORMATS["xml"].parse(text) == expected
    assert FORMATS["xml"].render(expected) == text


def test_hermes_turns_numbers_into_text():
    text = '<tool_call>\n{"name": "view", "arguments": {"path": "a.py", "start": 3}}\n</tool_call>'
    assert FORMATS["hermes"].parse(text) == Action("view", {"path": "a.py", "start": "3"})


def test_a_closing_tag_inside_a_value_is_kept():
    action = Action("edit", {"path": "a.py", "new": "s = '</tool_call>' + '</parameter>'"})
    for form in FORMATS.values():
        assert form.parse(form.render(action)) == action


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("hermes", "I will look.", "no tool call"),
        ("hermes", "<tool_call>{'name': 'view'}</tool_call>", "stands"),
        ("hermes", '<tool_call>{"arguments": {}}</tool_call>', "no name"),
        ("hermes", '<tool_call>{"name": "view"}', "not closed"),
        ("hermes", '<tool_call>{"name": "a"}</tool_call>\n<tool_call>{"name": "b"}</tool_call>', "one tool call"),
        ("xml", "<tool_call>\nview a.py\n</tool_call>", "not followed by"),
        ("xml", "<tool_call>\n<function=view>\n<parameter=path>\na.py", "not closed"),
        ("xml", "<tool_call>\n<function=v>\n</function>\n</tool_call>\n<tool_call>", "one tool call"),
        (
            "xml",
            "<tool_call><function=v><parameter=a>1</parameter><parameter=a>2</parameter></function></tool_call>",
            "given twice",
        ),
    ],
)
def test_problems_are_named(name, text, message):
    problem = FORMATS[name].parse(text)
    assert isinstance(problem, ParseProblem)
    assert message in problem.message


def test_detect():
    assert detect("... <tool_call>\n<function=example>") == "xml"
    assert detect('... {"name": <function-name>}') == "hermes"
