"""mini-swe-agent's `.traj.json`, formats 1 and 1.1, with the report of SWE-bench's harness beside it.

A run of format 1 writes its command in a fenced block; one of 1.1 names its commands in the message's `extra.actions`,
and may have made them as tool calls. `INSTANCE.report.json` beside `INSTANCE.traj.json` holds the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trajectories.formats import messages, prompts, verdicts
from trajectories.formats.calls import Call, Result, Said, call_of, messages_of, numbered, said_of, turns_of
from trajectories.formats.document import Document, DocumentFormat
from trajectories.formats.exchanges import exchanges
from trajectories.formats.json_values import values
from trajectories.formats.protocol import Sample
from trajectories.formats.writing import text_of
from trajectories.records import Trajectory, Turn

_BLOCK = re.compile(r"```(?:bash|mswea_bash_command)\s*\n(.*?)\n```", re.DOTALL)
_RETURNED = re.compile(r"<returncode>(-?\d+)</returncode>")
_TRAJ, REPORT = ".traj.json", ".report.json"


class MiniSweAgentFormat(DocumentFormat):
    """One run a file; its report in a file beside it, in lines under the key `report`."""

    name = "mini-swe-agent"
    suffixes = (_TRAJ, ".json", ".jsonl")
    alone = True

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.has("trajectory_format", "messages") and str(sample.first["trajectory_format"]).startswith(
            "mini-"
        )

    def documents(self, path: Path) -> Iterator[tuple[str, Document]]:
        """See `DocumentFormat.documents`."""
        beside = _report_of(path)
        for where, document in super().documents(path):
            if "report" not in document and beside.is_file():
                yield where, document | {"report": next((value for _, value in values(beside)), None)}
            else:
                yield where, document

    def files(self, document: Document, name: str) -> dict[str, str]:
        """See `DocumentFormat.files`."""
        found = super().files({key: value for key, value in document.items() if key != "report"}, name)
        if "report" in document:
            found[_report_of(Path(name)).name] = text_of(document["report"], indent=4) + "\n"
        return found

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        info, all_messages = document["info"], document["messages"]
        start = next((i for i, m in enumerate(all_messages) if _is_models(m)), len(all_messages))
        chat = messages.hear(all_messages[:start])
        turns = list(_turns(all_messages[start:], info.get("submission") or ""))
        report = document.get("report")
        verdict = verdicts.report(report) if isinstance(report, dict) else None
        config = info.get("config") or {}
        instance_id = str(document.get("instance_id") or "") or prompts.nameless(chat.statement)
        repo, base_commit = prompts.repository(instance_id)
        extra = chat.extra | {"model": (config.get("model") or {}).get("model_name") or ""}
        if any(m.get("tool_calls") for m in all_messages):
            extra["tool_calls"] = True
        if not info.get("submission"):
            extra["no_patch"] = "the run has no submission"
        return Trajectory(
            id="",
            instance_id=instance_id,
            repo=repo,
            base_commit=base_commit,
            problem_statement=chat.statement,
            turns=turns,
            patch=info.get("submission") or "",
            status=verdicts.status(info.get("exit_status")),
            verdict=verdict,
            reward=verdicts.reward(verdict),
            agent="mini-swe-agent",
            created_at=_time(all_messages),
            extra={key: value for key, value in extra.items() if value},
        )

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        extra = trajectory.extra
        # What was not written in a block, format 1 cannot say.
        blocks = all(_BLOCK.search(turn.text) for turn in trajectory.turns if turn.tool_call.name)
        beside = extra.get("tool_calls") is True or not blocks
        chat = messages.say([], extra, trajectory.problem_statement)
        ids = iter(numbered(trajectory.turns))
        for group in messages_of(trajectory.turns):
            own = [next(ids) for _ in group]
            said = said_of(group)
            chat.append(messages.tool_message(said, own) if beside else {"role": "assistant", "content": said.written})
            if beside:
                calls = [(i, made) for i, turn in zip(own, group, strict=True) if (made := call_of(turn))]
                chat[-1]["extra"] = {
                    "actions": [{"command": made.arguments.get("command"), "tool_call_id": i} for i, made in calls]
                }
            for turn, call_id in zip(group, own, strict=True):
                if turn.observation:
                    chat.append(_observation(turn, call_id if beside and said.calls else None))
        exit_status = verdicts.exit_word(trajectory).capitalize()
        last = {"role": "user", "content": trajectory.patch}
        if beside:
            last = {"role": "exit", "content": trajectory.patch}
        document: Document = {
            "info": {"exit_status": exit_status, "submission": trajectory.patch},
            "messages": chat + ([last] if trajectory.patch else []),
            "trajectory_format": "mini-swe-agent-1.1" if beside else "mini-swe-agent-1",
            "instance_id": trajectory.instance_id,
        }
        if model := extra.get("model"):
            document["info"]["config"] = {"model": {"model_name": model}}
        if trajectory.verdict is not None:
            document["report"] = verdicts.said(trajectory.verdict)
        return document


def _is_models(message: messages.Message) -> bool:
    return message.get("role") == "assistant" or message.get("object") == "response"


def _turns(chat: Sequence[messages.Message], submission: str) -> Iterator[Turn]:
    if chat and chat[-1].get("role") in ("user", "exit") and messages.content(chat[-1]) == submission:
        chat = chat[:-1]  # the patch, which the model was never shown
    for message, answers in exchanges(chat, _is_models):
        said = _said(message)
        results = [_result(answer) for answer in answers]
        last = max(1, len(said.calls)) - 1
        if len(results) > last + 1:  # what nobody called for belongs to the last
            text = "\n".join(result.text for result in results[last:])
            results = [*results[:last], Result(text, results[last].exit_code)]
        yield from turns_of(said, results)


def _said(message: messages.Message) -> Said:
    if message.get("tool_calls"):
        return messages.heard(message)
    words = messages.content(message) or _response_text(message)
    actions = (message.get("extra") or {}).get("actions")
    commands = [act["command"] for act in actions] if actions else _BLOCK.findall(words)
    if len(commands) == 1 or actions:
        calls = [Call("bash", {"command": command.strip()}) for command in commands]
        return Said(words, calls=calls, written=words)
    wrong = Call("", error=f"{len(commands)} commands where there must be one")
    return Said(words, calls=[wrong], written=words)


def _response_text(message: messages.Message) -> str:
    """The words of a response in OpenAI's other API."""
    outputs = [item for item in message.get("output") or () if isinstance(item, dict)]
    return "".join(messages.content(item) for item in outputs if item.get("type") == "message")


def _result(message: messages.Message) -> Result:
    text = messages.content(message) or str(message.get("output") or "")
    extra = message.get("extra") or {}
    found = _RETURNED.search(text[:200])
    code = extra.get("returncode", int(found[1]) if found else None)
    return Result(text, code if isinstance(code, int) else None)


def _observation(turn: Turn, call_id: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "user", "content": turn.observation}
    if call_id is not None:
        message = {"role": "tool", "tool_call_id": call_id, "content": turn.observation}
        if turn.exit_code is not None:
            message["extra"] = {"returncode": turn.exit_code}
    return message


def _time(chat: Sequence[messages.Message]) -> float:
    """When the first answer came, in seconds since the epoch; 0 where that is not said."""
    for message in chat:
        extra = message.get("extra") or {}
        time = extra.get("timestamp") or (extra.get("response") or {}).get("created")
        if isinstance(time, int | float):
            return float(time)
    return 0.0


def _report_of(path: Path) -> Path:
    name = path.name.removesuffix(_TRAJ).removesuffix(".json")
    return path.with_name(name + REPORT)
