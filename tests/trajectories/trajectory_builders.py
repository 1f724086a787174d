"""Trajectories for the tests of this room: small, but with everything a real one has."""

from __future__ import annotations

from trajectories.mining.masking import mask_trajectory
from trajectories.records import ContextPair, ToolCall, Trajectory, Turn, Verdict

VIEW = "     1\tdef area(a, b):\n     2\t    return a {} b * {}\n"


def call(tool: str, **arguments: str) -> str:
    """A tool call as the policy writes it."""
    inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in arguments.items())
    return f"<tool_call>\n<function={tool}>\n{inner}</function>\n</tool_call>"


def turn(tool: str, observation: str = "", think: str = "", **arguments: str) -> Turn:
    """One turn with its tokens."""
    text = think + call(tool, **arguments)
    ids = [len(word) for word in text.split()]
    return Turn(
        prompt_ids=[1, 2, 3],
        completion_ids=ids,
        logprobs=[-0.1 * i for i in ids],
        text=text,
        tool_call=ToolCall(name=tool, arguments=arguments),
        observation=observation,
    )


def trajectory(
    instance: str = "i1",
    *,
    shown: tuple[str, int] = ("+", 7),
    right: tuple[str, int] = ("-", 7),
    resolved: bool = True,
    function: str = "area",
    file: str = "pkg/a.py",
    **fields: object,
) -> Trajectory:
    """An episode that runs the tests, reads the document and the code, edits, and submits."""
    old, new = (f"    return a {op} b * {n}" for op, n in (shown, right))
    answer = f"def {function}(a, b):\n{new}\n"
    values: dict[str, object] = {
        "id": f"{instance}-{fields.pop('number', 0)}",
        "run": "r",
        "instance_id": instance,
        "repo": "pkg",
        "base_commit": "c" * 40,
        "problem_statement": f"{function} is wrong: case {instance}",
        "turns": [
            turn("test", f"FAIL {function} case {instance}"),
            turn("view", f"{function} gives a {right[0]} b times {right[1]}", path="docs/a.md"),
            turn("view", VIEW.format(*shown).replace("area", function), path=file),
            turn("edit", f"edited\n2: {new}", path=file, old=old, new=answer),
            turn("submit", "resolved" if resolved else "not resolved"),
        ],
        "patch": f"--- a/{file}\n+++ b/{file}\n@@ -1,2 +1,2 @@\n def {function}(a, b):\n-{old}\n+{new}\n",
        "answer": answer,
        "files": [file],
        "functions": [f"{file}::{function}"],
        "verdict": Verdict(resolved=resolved, fail_to_pass={"t": "passed" if resolved else "failed"}),
        "reward": float(resolved),
        "created_at": 1.0,
    }
    return Trajectory.model_validate(values | fields)


PLANTED = ("    width = abs(a) + 1", "    height = abs(b) + 1", "    return width * height")
"""The body of a function of a package, as it was before bugs were planted into it."""


def planted(instance: str, *bugs: tuple[int, str], **fields: object) -> Trajectory:
    """An episode that repairs a function to `PLANTED`. `bugs`: (line number in the body, the line that is shown)."""
    broken = [dict(bugs).get(i, line) for i, line in enumerate(PLANTED)]
    head, shown, answer = "def area(a, b):\n", "\n".join(broken), "\n".join(PLANTED)
    changed = "".join(f"-{line}\n+{PLANTED[i]}\n" for i, line in bugs)
    turns = [
        turn("view", head + shown + "\n", path="pkg/a.py"),
        turn("edit", "edited", path="pkg/a.py", old=shown, new=answer),
        turn("submit", "resolved"),
    ]
    patch = f"--- a/pkg/a.py\n+++ b/pkg/a.py\n@@ -1,4 +1,4 @@\n {head}{changed}"
    return trajectory(instance, **{"turns": turns, "patch": patch, "answer": f"{head}{answer}\n", **fields})


def pair(anchor: Trajectory, confounder: Trajectory, **fields: object) -> ContextPair:
    """A pair of two trajectories, valid unless said otherwise."""
    values: dict[str, object] = {
        "run": "r",
        "repo": "pkg",
        "base_commit": "c" * 40,
        "file": "pkg/a.py",
        "function": "pkg/a.py::area",
        "answer": anchor.answer,
        "anchor": mask_trajectory(anchor),
        "confounder": mask_trajectory(confounder),
        "judgement": "valid",
    }
    return ContextPair.model_validate(values | fields)
