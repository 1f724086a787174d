"""Any trajectory at all, for tests of formats."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from trajectories.records import ToolCall, Trajectory, Turn, Verdict

DATA = Path(__file__).parents[4] / "shared" / "data" / "trajectories"

MARKUP = (
    "<tool_call>\n",
    '{"name": "bash", "arguments": {"command": "ls"}}',
    "\n</tool_call>",
    "<think>\n",
    "\n</think>\n",
    "```bash\nls\n```",
    "```\nsubmit\n```",
    "<command>\nopen a.py\n</command>",
    "<function=edit>\n<parameter=path>a</parameter>\n</function>",
    "edit 1:2\nx\nend_of_edit",
    "<returncode>3</returncode>",
    "<pr_description>\nfix it\n</pr_description>",
    "ISSUE:\nbroken\n\nINSTRUCTIONS:\n",
    "OBSERVATION:\n",
    "[Command finished with exit code 7]",
    "[An error occurred during execution.]\n",
    "contextrl",
    "\r\n",
    "\x00\x07\x1b[31m",
    "\u2028\ufeff\U0001f600",
    "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-a\n+b\n",
)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXT = st.one_of(st.just(""), PLAIN, st.lists(st.one_of(st.sampled_from(MARKUP), PLAIN), max_size=4).map("".join))
NUMBER = st.integers(-(2**31), 2**31 - 1)
REAL = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 5e-324, 0.0, 1.0])
TOKENS = st.lists(st.integers(0, 2**31 - 1), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | REAL | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=6,
)
NAME = st.sampled_from(["", "bash", "edit", "view", "submit", "str_replace_editor", "think", "finish"]) | TEXT
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "tool": TEXT | st.just("execute_bash"),
        "arguments": st.dictionaries(PLAIN | st.just("path"), JSON, max_size=2) | JSON,
        "call_id": TEXT | st.just("call_1"),
        "continues": st.booleans(),
        "unasked": st.booleans(),
    },
)
EXTRA = st.dictionaries(PLAIN, JSON, max_size=2)
FORMS = [
    "atif",
    "mini-swe-agent",
    "swe-agent",
    "swe-smith",
    "openhands",
    "openhands-events",
    "chat",
    "agent-data-protocol",
]


@st.composite
def calls(draw):
    return ToolCall(
        name=draw(NAME),
        arguments=draw(st.dictionaries(st.sampled_from(["command", "path", "new"]) | PLAIN, TEXT, max_size=3)),
        error=draw(st.none() | TEXT),
    )


@st.composite
def turns(draw):
    call = draw(calls())
    body = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    spoken = st.builds(lambda words, end: f"{words}<tool_call>\n{body}\n</tool_call>{end}", TEXT, TEXT)
    return Turn(
        prompt_ids=draw(TOKENS),
        completion_ids=draw(TOKENS),
        logprobs=draw(st.lists(REAL, max_size=4)),
        policy_version=draw(st.integers(0, 9) | NUMBER),
        text=draw(TEXT | spoken),
        tool_call=call,
        observation=draw(TEXT),
        exit_code=draw(st.none() | NUMBER),
        seconds=draw(REAL),
        extra=draw(KNOWN) | draw(EXTRA),
    )


@st.composite
def verdicts(draw):
    tests = st.dictionaries(PLAIN, st.sampled_from(["passed", "failed", "error", "missing"]), max_size=3)
    return Verdict(
        resolved=draw(st.booleans()),
        fail_to_pass=draw(tests),
        pass_to_pass=draw(tests),
        reason=draw(TEXT),
        seconds=draw(REAL),
        tampered=draw(st.booleans()),
        dropped=tuple(draw(st.lists(PLAIN, max_size=2))),
        hashes=draw(st.dictionaries(PLAIN, PLAIN, max_size=2)),
    )


@st.composite
def trajectories(draw):
    """A record with any contents that a record may have; some say that they came from some format."""
    known = st.fixed_dictionaries(
        {},
        optional={
            "system_prompt": TEXT | JSON,
            "user_prompt": TEXT | JSON,
            "tool_calls": st.booleans() | JSON,
            "model": TEXT | JSON,
            "row": st.sampled_from(["nebius", "swe-gym", "x"]) | JSON,
            "no_patch": TEXT,
            **{name: JSON for name in FORMS},
        },
    )
    return Trajectory(
        id=draw(st.uuids().map(lambda u: u.hex)),
        run=draw(TEXT),
        group=draw(TEXT),
        iteration=draw(NUMBER),
        instance_id=draw(TEXT | st.sampled_from(["django__django-1", "python__mypy-1_2", "a__b.12345678.lm__x"])),
        repo=draw(TEXT),
        base_commit=draw(TEXT),
        problem_statement=draw(TEXT),
        turns=draw(st.lists(turns(), max_size=4)),
        patch=draw(TEXT),
        answer=draw(TEXT),
        files=draw(st.lists(PLAIN, max_size=2)),
        functions=draw(st.lists(PLAIN, max_size=2)),
        sources=draw(st.dictionaries(PLAIN, TEXT, max_size=2)),
        status=draw(st.sampled_from(["submitted", "truncated", "infra_error"])),
        verdict=draw(st.none() | verdicts()),
        reward=draw(st.none() | REAL),
        policy_version=draw(NUMBER),
        agent=draw(TEXT),
        backend=draw(TEXT),
        network=draw(st.booleans()),
        created_at=draw(REAL | st.just(1763509456.0)),
        seconds=draw(REAL),
        extra=draw(known) | draw(EXTRA),
    )
