"""The turns of OpenHands' history (V0).

Invariant: there is a turn for each action of the agent that is one of the model's; what came back to it is found by the
action's id, which an observation names as its `cause`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trajectories.formats import messages
from trajectories.formats.calls import Call, Result, Said, openai_call, turns_of
from trajectories.records import Turn

Event = dict[str, Any]
_NO_TURN = {"system", "recall", "change_agent_state", "null", "condensation"}


def turns(events: Sequence[Event]) -> list[Turn]:
    """The turns of a history."""
    actions = [e for e in events if e.get("source") == "agent" and e.get("action", "system") not in _NO_TURN]
    results = _results(events, actions)
    found: list[Turn] = []
    last: str | None = None
    for event, result in zip(actions, results, strict=True):
        response = (event.get("tool_call_metadata") or {}).get("model_response") or {}
        again = bool(response.get("id")) and response["id"] == last
        last = response.get("id")
        said = Said() if again else _said(event, response)
        made = _call(event, response)
        turn = turns_of(
            Said(said.words, said.reasoning, [made] if made else [], None if made else said.words), [result]
        )[0]
        found.append(turn.model_copy(update={"extra": turn.extra | {"continues": True}}) if again else turn)
    return found


def _said(event: Event, response: dict[str, Any]) -> Said:
    """What the model said before its call."""
    args = event.get("args") or {}
    if response.get("choices"):
        message = response["choices"][0].get("message") or {}
        return Said(messages.content(message), str(message.get("reasoning_content") or ""))
    return Said(str(args.get("thought") or args.get("content") or ""))


def _call(event: Event, response: dict[str, Any]) -> Call | None:
    metadata, args = event.get("tool_call_metadata") or {}, event.get("args") or {}
    for choice in response.get("choices") or ():
        for call in (choice.get("message") or {}).get("tool_calls") or ():
            if call.get("id") == metadata.get("tool_call_id"):
                return openai_call(call)
    if event["action"] == "message":
        return None
    arguments = {key: value for key, value in args.items() if key not in ("thought", "content")}
    return Call(
        str(metadata.get("function_name") or event["action"]), arguments, str(metadata.get("tool_call_id") or "")
    )


def _results(events: Sequence[Event], actions: Sequence[Event]) -> list[Result]:
    """What came back to each action: by its id, else to the last action before it."""
    found: dict[int, Result] = {}
    places = {action.get("id"): i for i, action in enumerate(actions)}
    last = -1
    for event in events:
        if event.get("id") in places and actions[places[event["id"]]] is event:
            last = places[event["id"]]
        elif "observation" in event and (place := places.get(event.get("cause"), last)) >= 0 and place not in found:
            extras = event.get("extras") or {}
            code = (extras.get("metadata") or {}).get("exit_code", extras.get("exit_code"))
            code = code if isinstance(code, int) and code >= 0 else None
            found[place] = Result(str(event.get("content") or ""), code)
    return [found.get(i, Result()) for i in range(len(actions))]
