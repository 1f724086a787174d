"""Whoever edits the format's own part of a written file edits the trajectory: our part is no copy of it."""

from __future__ import annotations

import json

import pytest
from formats_made import FORMS

from trajectories.formats import find
from trajectories.records import ToolCall, Trajectory, Turn, Verdict


def turn(number: int, **members) -> Turn:
    call = ToolCall(name="bash", arguments={"command": f"cat file{number}.py"})
    body = json.dumps({"name": call.name, "arguments": call.arguments})
    return Turn(
        prompt_ids=[number],
        completion_ids=[number, 7],
        logprobs=[-0.5, -0.0],
        policy_version=3,
        text=f"Look at file {number}.\n<tool_call>\n{body}\n</tool_call>",
        tool_call=call,
        observation=f"contents of file {number}",
        exit_code=number,
        seconds=0.25,
        **members,
    )


WHOLE = Trajectory(
    id="f" * 32,
    run="r",
    instance_id="owner__name-12",
    repo="owner/name",
    base_commit="c" * 40,
    problem_statement="It is broken.",
    turns=[turn(0), turn(1), turn(2), turn(3)],
    patch="--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-a\n+b\n",
    files=["m.py"],
    verdict=Verdict(resolved=True),
    reward=1.0,
    created_at=5.0,
    seconds=2.0,
)


def replaced(value, old: str, new: str):
    return json.loads(json.dumps(value).replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1]))


@pytest.mark.parametrize("name", FORMS)
def test_an_edited_observation_is_the_trajectorys(name):
    form = find(name)
    document, ours = form.take(form.dump(WHOLE))
    edited = replaced(document, "contents of file 1", "other contents")
    assert edited != document
    back = form.load(form.put(edited, ours))
    assert [t.observation for t in back.turns] == [
        "other contents" if i == 1 else t.observation for i, t in enumerate(WHOLE.turns)
    ]
    want = WHOLE.model_copy(update={"turns": back.turns})
    assert back == want
    for old, new in zip(WHOLE.turns, back.turns, strict=True):
        assert new.model_copy(update={"observation": old.observation}) == old


@pytest.mark.parametrize("name", FORMS)
def test_an_edited_patch_statement_or_verdict_is_the_trajectorys(name):
    form = find(name)
    document, ours = form.take(form.dump(WHOLE))
    edited = replaced(replaced(document, "+b\n", "+c\n"), "It is broken.", "It is slow.")
    edited = replaced(edited, '"resolved": true', '"resolved": true')
    back = form.load(form.put(edited, ours))
    if name not in ("chat", "openhands-events"):  # no place for a patch: ours is all there is
        assert back.patch.endswith("+c\n")
    assert back.problem_statement == "It is slow."
    assert [t.exit_code for t in back.turns] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["swe-smith", "mini-swe-agent", "openhands", "agent-data-protocol", "atif"])
def test_an_edited_verdict_is_the_trajectorys(name):
    form = find(name)
    document, ours = form.take(form.dump(WHOLE))
    text = json.dumps(document)
    for old, new in (('"resolved": true', '"resolved": false'), ('"resolved": "True"', '"resolved": "False"')):
        text = text.replace(old, new)
    assert text != json.dumps(document)
    assert not form.load(form.put(json.loads(text), ours)).resolved


def without_turn_1(name: str, document):
    """The document without the messages of turn 1, as somebody would cut them out."""
    key = {"atif": "steps", "openhands": "history", "openhands-events": "events", "agent-data-protocol": "content"}
    if name == "swe-agent":
        steps = [step for step in document["trajectory"] if "file1.py" not in json.dumps(step)]
        return document | {"trajectory": steps}
    items = document[key.get(name, "messages")]
    gone = [i for i, item in enumerate(items) if "file 1" in json.dumps(item) or "file1.py" in json.dumps(item)]
    return document | {key.get(name, "messages"): [item for i, item in enumerate(items) if i not in gone]}


@pytest.mark.parametrize("name", FORMS)
def test_a_turn_that_is_cut_out_takes_what_is_ours_with_it(name):
    form = find(name)
    document, ours = form.take(form.dump(WHOLE))
    back = form.load(form.put(without_turn_1(name, document), ours))
    assert [t.exit_code for t in back.turns] == [0, 2, 3]
    assert [t.text for t in back.turns] == [t.text for t in WHOLE.turns if t.exit_code != 1]
    assert (back.run, back.reward, back.id) == (WHOLE.run, WHOLE.reward, WHOLE.id)


@pytest.mark.parametrize("name", FORMS)
def test_what_the_format_says_is_not_said_twice(name):
    form = find(name)
    document = form.dump(WHOLE)
    _, ours = form.take(document)
    for text in ("contents of file 2", "Look at file 2", "cat file2.py"):
        assert text not in json.dumps(ours)


@pytest.mark.parametrize("name", ["atif", "openhands", "openhands-events", "agent-data-protocol"])
def test_an_edited_message_wins_over_how_we_remember_it(name):
    """Calls in another dialect are told beside the message, and the exact text by us: until the message is edited."""
    call = ToolCall(name="edit", arguments={"path": "m.py"})
    text = "Mend it.\n<tool_call>\n<function=edit>\n<parameter=path>\nm.py\n</parameter>\n</function>\n</tool_call>"
    whole = WHOLE.model_copy(update={"turns": [Turn(text=text, tool_call=call, observation="done", exit_code=0)]})
    form = find(name)
    document, ours = form.take(form.dump(whole))
    assert form.load(form.put(document, ours)) == whole
    back = form.load(form.put(replaced(document, "Mend it.", "Break it."), ours)).turns[0]
    assert "Break it." in back.text and "Mend it." not in back.text
    assert (back.tool_call, back.observation, back.exit_code) == (call, "done", 0)
