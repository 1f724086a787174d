"""What a policy wrote in a turn: nothing of it is hidden, whatever it wrote around its call."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trajectory_builders import trajectory

from trajectories.records import ToolCall, Turn
from trajectories.viewer.saying import plainly, said

CALL = ToolCall(name="bash", arguments={"command": "ls"})
BAD = ToolCall(name="", error="it cannot be read")
WRITTEN = "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>"
HERMES = f"<tool_call>\n{json.dumps({'name': 'bash', 'arguments': {'command': 'ls'}})}\n</tool_call>"
PIECES = [
    WRITTEN,
    HERMES,
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<function=",
    "<function=bash>",
    "{}",
    "x",
]
PIECES += ["```bash\n", "```\n", "\nls\n", "</function>", '\n{"name": "bash"}']


@pytest.mark.parametrize(
    ("text", "call", "parts"),
    [
        ("only words", CALL, ("", "only words", "", "")),
        ("<think>never ends", CALL, ("never ends", "", "", "")),
        (f"<think>\nhm\n</think>\nI look.\n{WRITTEN}", CALL, ("hm", "I look.", WRITTEN, "")),
        (f"I look.\n{HERMES}babble", CALL, ("", "I look.", HERMES, "babble")),
        (f"{WRITTEN}65111123 failed, cidopo\n", CALL, ("", "", WRITTEN, "65111123 failed, cidopo")),
        (f"I will use `<function=` here. {WRITTEN}", CALL, ("", "I will use `<function=` here. ", WRITTEN, "")),
        (f"a {WRITTEN} b <tool_call>{{}}</tool_call>", CALL, ("", "a ", WRITTEN, "b <tool_call>{}</tool_call>")),
        (f"a {WRITTEN} b {WRITTEN}", CALL, ("", f"a {WRITTEN} b ", WRITTEN, "")),
        ("words <function=bash>x", BAD, ("", "words ", "<function=bash>x", "")),
        (
            "see\n```python\nx\n```\nso\n```bash\nls\n```\n",
            CALL,
            ("", "see\n```python\nx\n```\nso", "```bash\nls\n```\n", ""),
        ),
        ("```bash\nls\n```\nand then?", CALL, ("", "", "```bash\nls\n```\n", "and then?")),
        ("as in ```x``` or\n```\nnothing\n```\n", CALL, ("", "as in ```x``` or\n```\nnothing\n```", "", "")),
    ],
)
def test_what_was_said_is_taken_apart(text, call, parts):
    assert said(text, call) == parts


@given(st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from([CALL, BAD, ToolCall(name="submit")]))
def test_nothing_but_white_space_and_the_tags_of_a_thought_is_left_out(text, call):
    parts = "".join("".join(said(text, call)).split())
    whole = "".join(text.split())
    if whole.startswith("<think>"):
        whole = whole.removeprefix("<think>").replace("</think>", "", 1)
    assert parts == whole


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (WRITTEN, True),
        (HERMES, True),
        ("```bash\nls\n```\n", True),
        (WRITTEN.replace("</function>", "or not</function>"), False),
        (HERMES.replace("}}", '}, "why": 1}'), False),
        ("```\nfind_file ls\n```", False),
    ],
)
def test_a_call_is_shown_as_written_where_that_says_more(written, plain):
    assert plainly(written, CALL) == plain


def test_all_that_was_written_is_on_the_page(store, client):
    texts = [f"{WRITTEN}babble", WRITTEN.replace("</function>", "in between</function>"), f"see `<function=` {WRITTEN}"]
    store.add(trajectory(turns=[Turn(text=text, tool_call=CALL) for text in texts], patch=""))
    page = client.get("/trajectory?id=i1-0").text
    first, second, third = page.split("<article")[1:]
    assert "written after the call" in first and "babble" in first and "as written" not in first
    assert "as written" in second and "in between" in second and "written after the call" not in second
    assert "see `&lt;function=`" in third
    assert "babble" in client.get("/text?id=i1-0&turn=1&part=rest").text
