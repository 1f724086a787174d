"""ATIF 1.8, the interchange format of harbor; older versions are read too.

A message of the model is a step, with its calls and what came back to each. `metrics` has the token ids: ATIF's prompt
is the whole context, ours what was added to it. What ATIF has no field for stands in `extra.contextrl`: of the root
(`trajectory`: patch, verdict, reward, base commit, ...), of a step (policy version), of a result (exit code, seconds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trajectories.formats import messages, prompts
from trajectories.formats.calls import Call, Result, Said, call_of, messages_of, numbered, said_of, turns_of
from trajectories.formats.document import KEY, Document, DocumentFormat, fields
from trajectories.formats.exchanges import by_call
from trajectories.formats.protocol import Sample
from trajectories.records import Trajectory, Turn

Step = dict[str, Any]
_NOBODY = "unknown"
_NOT_MEANT = ("turns", "extra", "agent", "id")
"""Members of the record that stand elsewhere."""


class AtifFormat(DocumentFormat):
    """One trajectory a file."""

    name = "atif"
    suffixes = (".json", ".jsonl")
    alone = True

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.has("steps", "agent") and str(sample.first.get("schema_version", "ATIF")).startswith("ATIF")

    def take(self, document: Document) -> tuple[Document, Any]:
        """See `DocumentFormat.take`."""
        extra = dict(document.get("extra") or {})
        ours = dict(extra.get(KEY) or {})
        beside = ours.pop("beside", None)
        extra = {key: value for key, value in extra.items() if key != KEY} | ({KEY: ours} if ours else {})
        rest = {key: value for key, value in document.items() if key != "extra" or beside is None}
        return (rest if beside is None else rest | ({"extra": extra} if extra else {})), beside

    def put(self, document: Document, ours: Any) -> Document:
        """See `DocumentFormat.put`."""
        extra = document.get("extra") or {}
        return document | {"extra": extra | {KEY: (extra.get(KEY) or {}) | {"beside": ours}}}

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        agent, steps = document["agent"], document["steps"]
        meant = ((document.get("extra") or {}).get(KEY) or {}).get("trajectory") or {}
        start = next((i for i, step in enumerate(steps) if step["source"] == "agent"), len(steps))
        said = {f"{step['source']}_prompt": _text(step["message"]) for step in reversed(steps[:start])}
        extra = {**said, "model": agent.get("model_name") or "", "tool_calls": True}
        problem = prompts.statement(said.get("user_prompt", ""))
        values = {
            "repo": "",
            "base_commit": "",
            "created_at": 0.0,
            "problem_statement": problem,
            "instance_id": prompts.nameless(problem),
            **meant,
            "id": document.get("trajectory_id") or "",
            "agent": "" if agent["name"] == _NOBODY else agent["name"],
            "turns": _turns(steps[start:]),
            "extra": {key: value for key, value in extra.items() if value},
        }
        return Trajectory.model_validate(values)

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        meant = {key: value for key, value in fields(trajectory).items() if key not in _NOT_MEANT and value}
        extra = trajectory.extra
        system, prompt = extra.get("system_prompt"), extra.get("user_prompt", trajectory.problem_statement)
        steps: list[Step] = [{"source": "system", "message": system}] if isinstance(system, str) and system else []
        if (isinstance(prompt, str) and prompt) or not trajectory.turns:
            steps.append({"source": "user", "message": prompt if isinstance(prompt, str) else ""})
        context: list[int] = []
        ids = iter(numbered(trajectory.turns))
        for group in messages_of(trajectory.turns):
            steps.append(_step(group, [next(ids) for _ in group], context))
        agent: dict[str, Any] = {"name": trajectory.agent or _NOBODY, "version": _NOBODY}
        if isinstance(extra.get("model"), str):
            agent["model_name"] = extra["model"]
        document: Document = {
            "schema_version": "ATIF-v1.8",
            "agent": agent,
            "steps": [{"step_id": i, **step} for i, step in enumerate(steps, 1)],
            "extra": {KEY: {"trajectory": meant}},
        }
        return document | ({"trajectory_id": trajectory.id} if trajectory.id else {})


def _turns(steps: Sequence[Step]) -> list[Turn]:
    turns: list[Turn] = []
    context: list[int] | None = []
    for step in steps:
        if step["source"] != "agent":
            continue  # words of somebody else in the middle stay in `extra`
        metrics = step.get("metrics") or {}
        prompt, completion = metrics.get("prompt_token_ids"), metrics.get("completion_token_ids") or []
        members: dict[str, Any] = {"policy_version": _ours(step).get("policy_version", 0)}
        if context is not None and prompt is not None and prompt[: len(context)] == context:
            members |= {"prompt_ids": prompt[len(context) :], "completion_ids": completion}
            members["logprobs"] = metrics.get("logprobs") or []
            context = prompt + completion
        elif prompt is not None:
            context = None  # the chat was rewritten: from here on the tokens are no one sequence
        reasoning = step.get("reasoning_content")
        calls = [Call(c["function_name"], c["arguments"], c["tool_call_id"]) for c in step.get("tool_calls") or ()]
        said = Said(_text(step["message"]), reasoning if isinstance(reasoning, str) else "", calls)
        turns += turns_of(said, _results(step, calls), **members)
    return turns


def _results(step: Step, calls: list[Call]) -> list[Result]:
    """What came back to each call."""
    found = (step.get("observation") or {}).get("results") or ()
    results = []
    for part in by_call([call.id for call in calls], found, lambda result: result.get("source_call_id")):
        ours = _ours(part[0]) if part else {}
        text = "\n".join(_text(result.get("content")) for result in part)
        results.append(Result(text, ours.get("exit_code"), float(ours.get("seconds", 0.0))))
    return results


def _step(group: Sequence[Turn], ids: Sequence[str], context: list[int]) -> Step:
    """The step of a message; `context` grows by its tokens."""
    said, first = said_of(group), group[0]
    step: Step = {"source": "agent", "message": said.words, "llm_call_count": 1}
    if said.reasoning:
        step["reasoning_content"] = said.reasoning
    if first.policy_version:
        step["extra"] = {KEY: {"policy_version": first.policy_version}}
    calls, results = [], []
    for turn, call_id in zip(group, ids, strict=True):
        if made := call_of(turn):
            calls.append({"tool_call_id": call_id, "function_name": made.name, "arguments": made.arguments})
        ours: dict[str, Any] = {"exit_code": turn.exit_code} if turn.exit_code is not None else {}
        ours |= {"seconds": turn.seconds} if turn.seconds else {}
        if turn.observation or ours:
            result: dict[str, Any] = {"source_call_id": call_id} if made else {}
            results.append(result | {"content": turn.observation} | ({"extra": {KEY: ours}} if ours else {}))
    step |= {"tool_calls": calls} if calls else {}
    step |= {"observation": {"results": results}} if results else {}
    if first.prompt_ids or first.completion_ids:
        context += first.prompt_ids
        metrics: dict[str, Any] = {"prompt_tokens": len(context), "completion_tokens": len(first.completion_ids)}
        metrics |= {"prompt_token_ids": list(context), "completion_token_ids": first.completion_ids}
        step["metrics"] = metrics | ({"logprobs": first.logprobs} if first.logprobs else {})
        context += first.completion_ids
    return step


def _ours(value: dict[str, Any]) -> dict[str, Any]:
    found = (value.get("extra") or {}).get(KEY)
    return found if isinstance(found, dict) else {}


def _text(content: Any) -> str:
    return messages.content({"content": content})
