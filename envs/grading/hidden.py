"""The hidden stage of a verdict: other calls than the tests make, answered as the repaired function answers.

Invariant: expected answers never enter a sandbox. What the patched code says is only text there, and becomes right or
wrong here; so neither an object that equals everything nor a process that was taken over gains anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from envs.task import TaskInstance
from envs.testing.runner import Job, Outcome

_CPU_S = 10.0
_WALL_S = 20.0


def hidden_job(task: TaskInstance, files: Mapping[str, str | None] | None = None) -> Job:
    """The job that asks a task's hidden calls, on a tree with these files changed."""
    calls = tuple((call.function, call.arguments) for call in task.hidden)
    return Job((), files or {}, _CPU_S, _WALL_S, calls=calls)


def hidden_reason(task: TaskInstance, outcome: Outcome) -> str:
    """Why the answers do not do, one line; empty where every one is the repaired function's."""
    right = sum(call.expected == answer for call, answer in zip(task.hidden, outcome.answers, strict=False))
    wrong = len(task.hidden) - right
    return f"gives other answers than the repaired function on {wrong} of {len(task.hidden)} hidden calls" * bool(wrong)
