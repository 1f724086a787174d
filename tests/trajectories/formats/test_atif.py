"""ATIF is harbor's: its own models accept whatever is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from formats_made import DATA, trajectories
from hypothesis import HealthCheck, given, settings

from trajectories.formats import find, recognise
from trajectories.formats.calls import Call
from trajectories.formats.folders import inside
from trajectories.records import ToolCall, Trajectory, Turn

HARBOR = "harbor==0.26.0"
CHECK = """
import json, sys
from harbor.models.trajectories import Trajectory
for line in sys.stdin:
    Trajectory.model_validate(json.loads(line))
    Trajectory.model_validate_json(line)
    print(json.dumps(Trajectory.model_validate_json(line).to_json_dict()))
"""


@pytest.fixture(scope="session")
def harbor(tmp_path_factory):
    """Validates documents by harbor's models, and gives back what those make of them.

    The models need pydantic only, and run on any Python; what else harbor needs is 450 MB.
    """
    folder = tmp_path_factory.mktemp("harbor")
    options = [
        "--quiet",
        "--no-deps",
        "--ignore-requires-python",
        "--disable-pip-version-check",
        "--target",
        str(folder),
    ]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, HARBOR], check=True)

    def validated(documents):
        text = "".join(json.dumps(document) + "\n" for document in documents)
        environment = os.environ | {"PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", CHECK], input=text, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return validated


@pytest.mark.slow
def test_harbor_accepts_any_trajectory(harbor):
    documents, given_ = [], []

    @settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), database=None)
    @given(trajectories())
    def collect(trajectory):
        documents.append(find("atif").dump(trajectory))
        given_.append(trajectory)

    collect()
    back = harbor(documents)
    assert len(back) == len(documents)


@pytest.mark.slow
def test_harbor_accepts_every_real_file_and_its_rewriting_loses_nothing(harbor):
    form = find("atif")
    whole = small_trajectory()
    files = [path for path in inside(DATA) if recognise(path)] if DATA.is_dir() else []
    found = [whole, *(t for path in files for t in recognise(path).read(path))]
    back = [form.load(document) for document in harbor(form.dump(t) for t in found)]
    assert [t.model_dump(exclude={"extra"}) for t in back] == [t.model_dump(exclude={"extra"}) for t in found]


@pytest.mark.slow
def test_harbor_refuses_what_is_wrong(harbor):
    document = find("atif").dump(small_trajectory())
    with pytest.raises(AssertionError, match="step_id"):
        harbor([document | {"steps": document["steps"][::-1]}])


def small_trajectory() -> Trajectory:
    turns = [
        Turn(
            prompt_ids=[1, 2, 3] if not i else [9],
            completion_ids=[4, i],
            logprobs=[-0.5, -0.0],
            policy_version=2,
            text=f"<think>\nhm\n</think>\nLook.\n{Call('bash', {'command': f'ls {i}'}).spoken()}",
            tool_call=ToolCall(name="bash", arguments={"command": f"ls {i}"}),
            observation="a.py",
            exit_code=0,
            seconds=0.5,
        )
        for i in range(2)
    ]
    return Trajectory(
        instance_id="a__b-1",
        repo="a/b",
        base_commit="c",
        problem_statement="Fix it.",
        turns=turns,
        agent="tool",
        reward=1.0,
    )


def test_tokens_are_the_whole_prompt_there_and_what_was_added_here():
    document = find("atif").dump(small_trajectory())
    first, second = (step for step in document["steps"] if step["source"] == "agent")
    assert first["metrics"]["prompt_token_ids"] == [1, 2, 3]
    assert second["metrics"]["prompt_token_ids"] == [1, 2, 3, 4, 0, 9]
    assert second["metrics"]["completion_token_ids"] == [4, 1] and second["metrics"]["logprobs"] == [-0.5, -0.0]
    assert (first["message"], first["reasoning_content"]) == ("Look.", "hm")
    assert first["tool_calls"][0] == {
        "tool_call_id": "call_0",
        "function_name": "bash",
        "arguments": {"command": "ls 0"},
    }
    assert first["observation"]["results"][0]["extra"]["contextrl"] == {"exit_code": 0, "seconds": 0.5}
    assert document["extra"]["contextrl"]["trajectory"]["reward"] == 1.0


def test_a_chat_that_was_rewritten_gives_no_false_tokens():
    document = find("atif").dump(small_trajectory())
    document["steps"][-1]["metrics"]["prompt_token_ids"] = [7] * 9
    back = find("atif").load(document)
    assert back.turns[0].prompt_ids == [1, 2, 3] and back.turns[1].prompt_ids == []
    assert find("atif").dump(back)["steps"][-1]["metrics"]["prompt_token_ids"] == [7] * 9


def test_a_document_of_harbors_own_is_read():
    document = {
        "schema_version": "ATIF-v1.4",
        "session_id": "s",
        "agent": {"name": "terminus", "version": "1", "model_name": "m"},
        "steps": [
            {"step_id": 1, "source": "user", "message": [{"type": "text", "text": "<issue>\nslow\n</issue>"}]},
            {
                "step_id": 2,
                "source": "agent",
                "message": "Two at once.",
                "tool_calls": [
                    {"tool_call_id": "a", "function_name": "terminal", "arguments": {"command": "ls", "timeout": 3}},
                    {"tool_call_id": "b", "function_name": "str_replace_editor", "arguments": {"path": "x"}},
                ],
                "observation": {
                    "results": [
                        {"source_call_id": "b", "content": "second"},
                        {"source_call_id": "a", "content": "first"},
                    ]
                },
            },
        ],
        "final_metrics": {"total_cost_usd": 0.5},
    }
    form = find("atif")
    back = form.load(document)
    assert back.problem_statement == "slow" and back.agent == "terminus" and back.extra["model"] == "m"
    assert [(t.tool_call.name, t.observation) for t in back.turns] == [
        ("bash", "first"),
        ("str_replace_editor", "second"),
    ]
    assert back.turns[0].tool_call.arguments == {"command": "ls", "timeout": "3"}
    assert form.dump(back) == document
