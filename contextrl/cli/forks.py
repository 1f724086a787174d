"""`contextrl replay --fork`: who goes on, and what is kept of it.

Invariant: a store that cannot be written is told before anybody works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from contextrl.forking import Successor
    from trajectories.records import Trajectory
    from trajectories.replay.replaying import Replay
    from trajectories.replay.tasks import Ground
    from trajectories.store import SQLStore

AGENTS = ("human", "tools", "gold")
_HUMAN_TURNS = 200


def refuse_unwritable(opened: SQLStore) -> None:
    """Raises `StoreError` where the store cannot be written."""
    opened.add_lessons([])


def handed_over(running: Replay, successor: Successor, opened: SQLStore, anyway: bool) -> Trajectory:
    """Fork where the replay stands, keep the fork, and say how it ended."""
    from contextrl.forking import hand_over

    forked = hand_over(running, successor, anyway=anyway)
    opened.add(forked)
    end = "resolved" if forked.resolved else forked.verdict.reason if forked.verdict else "not graded"
    why = f" ({show.plain(str(forked.extra['error']))})" if forked.status == "infra_error" else ""
    typer.echo(f"fork {forked.id} in the run {show.plain(forked.run)}: {forked.status}{why}, {show.plain(end)}")
    return forked


def turns_with_fork(found: Trajectory, step: int = 0, agent: str = "human") -> int:
    """How many turns a fork may have in all: as the episode had, a person more."""
    from contextrl.forking import MORE_TURNS
    from trajectories.replay.own import turns_allowed

    if agent == "human":
        return len(found.turns) + _HUMAN_TURNS
    return max(turns_allowed(found), step + MORE_TURNS)


def successor_of(agent: str, policy: str, ground: Ground) -> Successor:
    """Who goes on: the person, the scripted gold agent, a policy. Raises `ForkError`."""
    from contextrl.forking import ForkError, ScriptSuccessor

    if agent == "human":
        from contextrl.human import HumanSuccessor

        return HumanSuccessor()
    if agent == "gold":
        from agents.gold import gold_script

        if ground.profile is None or ground.profile.image:
            raise ForkError("the gold agent reads sources that lie here, and this task is in a published image")
        return ScriptSuccessor("gold", gold_script({ground.profile.name: ground.profile}))
    return _policy(policy)


def _policy(policy: str) -> Successor:
    from agents.engine import TransformersEngine
    from agents.policy import load_policy
    from agents.protocol import Sampling
    from contextrl.forking import PolicySuccessor
    from contextrl.start import policy_source

    loaded = load_policy(policy_source(policy))
    engine = TransformersEngine(loaded.model, loaded.chat.stop_ids, max_context=loaded.max_context, max_batch=1)
    return PolicySuccessor(loaded.chat, engine, Sampling())
