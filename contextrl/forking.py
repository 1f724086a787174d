"""A replayed episode handed over: to a policy, to the scripted gold agent, or to the person at the terminal.

Invariant: nothing is handed over after a divergence unless that is asked for, and nothing is learned from twice: in the
fork's record all tokens of the replayed turns, sampled ones too, are context (`prompt_ids`), and nothing of them is a
completion; `extra["replayed"]` marks these turns. Concatenated they give the same sequence as in the original.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from agents.chat import Chat, PolicyError
from agents.episode import Episode
from agents.expert import Script
from agents.protocol import Engine, EngineError, Sampling
from agents.tool_agent import ToolAgent
from agents.toolformat import FORMATS
from sandbox.loop import run_sync
from sandbox.protocol import SandboxError
from trajectories.records import Trajectory, Turn
from trajectories.replay.own import OwnStage
from trajectories.replay.replaying import Replay

SUFFIX = ".forks"
"""Behind the name of a run: the run of its forks."""
MORE_TURNS = 8
"""How many turns a fork may have at least, behind the replayed ones."""


HUMAN = "human"
"""The successor who may leave."""


class ForkError(ValueError):
    """A replay cannot be handed over; the message says why and what to do."""


class Successor(Protocol):
    """Who goes on."""

    @property
    def name(self) -> str:
        """Recorded as the fork's agent."""

    def go_on(self, episode: Episode, replayed: Sequence[Turn]) -> None:
        """Act until the episode ends, or the successor gives it up. `replayed`: the turns so far, at least one."""


def hand_over(replay: Replay, successor: Successor, *, anyway: bool = False) -> Trajectory:
    """Let somebody go on where the replay stands; the episode of both, graded. Raises `ForkError`.

    `anyway`: also where the replay has come out otherwise than the record.
    """
    stage, step, original = replay.stage, replay.done, replay.trajectory
    if not isinstance(stage, OwnStage):
        raise ForkError(
            f"an episode of {original.agent or 'another program'} cannot be forked: it used other tools than those of "
            "our environment"
        )
    if stage.last.done:
        raise ForkError(f"the episode is over after step {step}: fork at an earlier one")
    if replay.diverged_at is not None and not anyway:
        raise ForkError(
            f"the replay diverges at step {replay.diverged_at}, so that step {step} is not what it was: fork before "
            "it, or give --anyway"
        )
    turns = original.turns[:step]
    episode = Episode(successor.name, stage.env, stage.task, "")
    episode.take_over(as_context(turns), stage.last)
    try:
        successor.go_on(episode, turns)
        forked = run_sync(episode.finish())
    except (SandboxError, EngineError, PolicyError) as error:
        forked = episode.fail(error)
    if successor.name == HUMAN and not episode.done:  # who leaves has failed nothing
        forked = forked.model_copy(update={"reward": None})
    extra = {"forked_from": {"trajectory": original.id, "step": step}}
    return forked.model_copy(update={"run": f"{original.run}{SUFFIX}", "extra": forked.extra | extra})


def as_context(turns: Sequence[Turn]) -> list[Turn]:
    """The turns with all their tokens as context of what comes after them."""
    return [
        turn.model_copy(
            update={
                "prompt_ids": [*turn.prompt_ids, *turn.completion_ids],
                "completion_ids": [],
                "logprobs": [],
                "extra": turn.extra | {"replayed": True},
            }
        )
        for turn in turns
    ]


class PolicySuccessor:
    """A policy goes on. What it is shown are the recorded token ids where its own tokenizer wrote them."""

    name = "tools"

    def __init__(self, chat: Chat, engine: Engine, sampling: Sampling) -> None:
        self._chat, self._engine, self._sampling = chat, engine, sampling

    def go_on(self, episode: Episode, replayed: Sequence[Turn]) -> None:
        """See `Successor`."""
        run_sync(self._go_on(episode, replayed))

    async def _go_on(self, episode: Episode, replayed: Sequence[Turn]) -> None:
        agent, session = ToolAgent(self._chat, self._sampling), f"fork/{time.time_ns()}"
        if wrote(self._chat, episode.task.problem_statement, replayed):
            context = [token for turn in replayed for token in (*turn.prompt_ids, *turn.completion_ids)]
            closed = replayed[-1].completion_ids[-1] == self._chat.end_of_turn
        else:
            context, closed = encoded(self._chat, episode.task.problem_statement, replayed), True
            episode.turns = [
                turn.model_copy(update={"prompt_ids": [] if i else context}) for i, turn in enumerate(episode.turns)
            ]
        try:
            prompt = self._chat.observation(episode.last.observation, closed=closed)
            await agent.go_on(episode, self._engine, session, context, prompt)
        finally:
            await self._engine.close_session(session)


def wrote(chat: Chat, statement: str, turns: Sequence[Turn]) -> bool:
    """Whether this chat's tokenizer and template wrote these turns: they render alike and decode to their texts."""
    prompt = chat.opening(statement)
    for turn in turns:
        if not turn.completion_ids or turn.prompt_ids != prompt or chat.decode(turn.completion_ids) != turn.text:
            return False
        prompt = chat.observation(turn.observation, closed=turn.completion_ids[-1] == chat.end_of_turn)
    return True


def encoded(chat: Chat, statement: str, turns: Sequence[Turn]) -> list[int]:
    """The token ids of a history that another tokenizer wrote, or none, up to the end of its last turn."""
    ids, prompt = [], chat.opening(statement)
    for turn in turns:
        ids += [*prompt, *chat.encode(turn.text), chat.end_of_turn]
        prompt = chat.observation(turn.observation)
    return ids


class ScriptSuccessor:
    """A script goes on from its own beginning."""

    def __init__(self, name: str, script: Script) -> None:
        self.name, self._script = name, script

    def go_on(self, episode: Episode, replayed: Sequence[Turn]) -> None:
        """See `Successor`."""
        script = self._script(episode.task)
        action = next(script, None)
        while action is not None and not episode.done:
            text, started = FORMATS["hermes"].render(action), time.perf_counter()
            observation = run_sync(episode.act(action, text=text, prompt_ids=[], started=started))
            try:
                action = script.send(observation)
            except StopIteration:
                return
