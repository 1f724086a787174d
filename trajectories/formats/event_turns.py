"""The turns of OpenHands' events (V1).

Invariant: there is a turn for each action, each message of the agent, and each result whose action is not there;
an observation is what the model was shown, with what OpenHands writes around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from trajectories.formats import messages
from trajectories.formats.calls import Call, Result, Said, arguments_of, turns_of
from trajectories.records import Turn

Event = dict[str, Any]
_ASIDE = ("security_risk", "summary")
"""Arguments that OpenHands adds to every tool."""
_RESULTS = {"ObservationEvent", "AgentErrorEvent", "UserRejectObservation"}


def turns(events: Sequence[Event]) -> Iterator[Turn]:
    """The turns of a conversation's events."""
    actions = {e.get("id"): e for e in events if e.get("kind") == "ActionEvent"}
    calls = {e.get("tool_call_id"): e.get("id") for e in actions.values()}
    results = {calls.get(e.get("tool_call_id"), e.get("action_id")): e for e in events if e.get("kind") in _RESULTS}
    tokens, last = _tokens(events), None
    for i, event in enumerate(events):
        kind = event.get("kind")
        if kind == "ActionEvent":
            again = bool(event.get("llm_response_id")) and event.get("llm_response_id") == last
            last = event.get("llm_response_id")
            result = _result(results[event["id"]]) if event.get("id") in results else Result()
            said = Said() if again else Said(text(event.get("thought") or []), _reasoning(event))
            turn = turns_of(Said(said.words, said.reasoning, [_call(event)]), [result], **tokens.get(i, {}))[0]
            yield turn.model_copy(update={"extra": turn.extra | {"continues": True}}) if again else turn
        elif kind == "MessageEvent" and event.get("source") == "agent":
            yield turns_of(Said(spoken(event), written=spoken(event)), **tokens.get(i, {}))[0]
        elif kind in _RESULTS and event.get("tool_call_id") not in calls and event.get("action_id") not in actions:
            command = (event.get("observation") or {}).get("command")
            made = Call(str(event["tool_name"]), {"command": command} if command else {}, str(event["tool_call_id"]))
            turn = turns_of(Said(written="", calls=[made]), [_result(event)])[0]
            yield turn.model_copy(update={"extra": turn.extra | {"unasked": True}})


def _tokens(events: Sequence[Event]) -> dict[int, dict[str, Any]]:
    """Index of an action or message -> its tokens, for the events of tokens that follow them."""
    found: dict[int, dict[str, Any]] = {}
    context: list[int] = []
    last, response = None, None
    for i, event in enumerate(events):
        is_message = event.get("kind") == "MessageEvent" and event.get("source") == "agent"
        if is_message or (
            event.get("kind") == "ActionEvent" and (not response or event.get("llm_response_id") != response)
        ):
            last, response = i, event.get("llm_response_id")
        elif event.get("kind") == "TokenEvent" and last is not None and last not in found:
            prompt, completion = event["prompt_token_ids"], event["response_token_ids"]
            if prompt[: len(context)] != context:
                return found  # the chat was rewritten: from here on the tokens are no one sequence
            found[last] = {"prompt_ids": prompt[len(context) :], "completion_ids": completion}
            context = prompt + completion
    return found


def _call(event: Event) -> Call:
    made = event.get("tool_call") or {}
    arguments, error = arguments_of(made.get("arguments") or "{}")
    kept = {key: value for key, value in arguments.items() if key not in _ASIDE}
    return Call(
        str(event.get("tool_name") or made.get("name") or ""), kept, str(event.get("tool_call_id") or ""), error
    )


def _reasoning(event: Event) -> str:
    """The reasoning, unless the words have it."""
    reasoning = event.get("reasoning_content")
    return reasoning if isinstance(reasoning, str) and reasoning not in text(event.get("thought") or []) else ""


def _result(event: Event) -> Result:
    """What the model is shown."""
    if "error" in event or "rejection_reason" in event:
        return Result(str(event.get("error") or event.get("rejection_reason")))
    seen = event.get("observation") or {}
    metadata = seen.get("metadata") or {}
    code = next((c for c in (seen.get("exit_code"), metadata.get("exit_code")) if isinstance(c, int) and c >= 0), None)
    shown = f"{metadata.get('prefix') or ''}{text(seen.get('content') or [])}{metadata.get('suffix') or ''}"
    if metadata.get("working_dir"):
        shown += f"\n[Current working directory: {metadata['working_dir']}]"
    if metadata.get("py_interpreter_path"):
        shown += f"\n[Python interpreter: {metadata['py_interpreter_path']}]"
    if isinstance(metadata.get("exit_code"), int) and metadata["exit_code"] != -1:
        shown += f"\n[Command finished with exit code {metadata['exit_code']}]"
    return Result(("[An error occurred during execution.]\n" if seen.get("is_error") else "") + shown, code)


def text(parts: Sequence[Any]) -> str:
    """The text of content parts."""
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def spoken(event: Event) -> str:
    """The text of a message."""
    return messages.content(event.get("llm_message") or {})


def begun(events: Sequence[Event]) -> float:
    """When the first event was, in seconds since the epoch; 0 where that is not said."""
    stamp = next((e["timestamp"] for e in events if isinstance(e.get("timestamp"), str)), "")
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
