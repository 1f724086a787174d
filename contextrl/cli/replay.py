"""`contextrl replay`: what a trajectory recorded, done again in a fresh sandbox and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import known, show
from contextrl.cli.records import DEFAULT, Json, Store, open_store

if TYPE_CHECKING:
    from contextrl.forking import Successor
    from contextrl.replays import Wanted
    from trajectories.records import Trajectory
    from trajectories.replay.replaying import Replay
    from trajectories.replay.report import ReplayReport
    from trajectories.replay.tasks import Ground
    from trajectories.store import SQLStore

DIVERGED = 1
AGENTS = ("human", "tools", "gold")
_HUMAN_TURNS = 200


def replay(
    trajectory: Annotated[str, typer.Argument(help="Its id, or how that starts.")],
    store: Store = DEFAULT,
    to: Annotated[int | None, typer.Option(min=1, help="Stop after this step.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Task set that has the task: a name, a folder or a file.")] = None,
    repo: Annotated[Path | None, typer.Option(help="Folder with the repository, for an imported trajectory.")] = None,
    backend: Annotated[str, typer.Option(help="auto (as it was played), docker or local.")] = "auto",
    stop_at_divergence: Annotated[bool, typer.Option("--stop-at-divergence", help="Stop at the first one.")] = False,
    as_json: Json = False,
    keep: Annotated[bool, typer.Option(help="Keep the report in the store.")] = True,
    interactive: Annotated[bool, typer.Option("--interactive", help="Step by step; `h` lists the keys.")] = False,
    fork: Annotated[int | None, typer.Option(min=1, help="Replay to this step and hand over.")] = None,
    agent: Annotated[str, typer.Option(help=f"Who goes on at --fork: {', '.join(AGENTS)}.")] = "human",
    policy: Annotated[str, typer.Option(help="Policy of --agent tools: tiny, or a folder.")] = "tiny",
    anyway: Annotated[bool, typer.Option("--anyway", help="Fork also after a divergence.")] = False,
) -> None:
    """Re-execute a trajectory and say where it comes out otherwise. Exit code 1: it does somewhere.

    The report stays in the store, where `contextrl view` shows it.
    """
    from contextrl.replays import Wanted, ground_of

    with open_store(store) as opened:
        found = opened.get(known.only_id(opened, "trajectories", trajectory, "contextrl traj ls"))
        _check(found, to, fork, agent, interactive, as_json)
        wanted = Wanted(tasks, repo, backend)
        ground = ground_of(found, opened, wanted)
        if fork is not None:
            _fork(opened, found, ground, wanted, fork, _successor(agent, policy, ground), anyway)
            return
        report = _replayed(opened, found, ground, wanted, to, stop_at_divergence, interactive, anyway)
        if keep and report.steps:
            _keep(opened, report)
    _tell(report, as_json, steps=not interactive)
    raise typer.Exit(0 if report.agrees else DIVERGED)


def _check(found: Trajectory, to: int | None, fork: int | None, agent: str, interactive: bool, as_json: bool) -> None:
    turns = len(found.turns)
    if not turns:
        raise ValueError(f"the trajectory {found.id} has no turns: there is nothing to replay")
    for name, step in (("--to", to), ("--fork", fork)):
        if step is not None and step > turns:
            raise ValueError(f"{name} is {step}, and the trajectory has {turns} turns")
    if agent not in AGENTS:
        raise ValueError(f"there is no agent {agent!r}: choose one of {', '.join(AGENTS)}")
    if fork is not None and (to is not None or interactive or as_json):
        raise ValueError("--fork goes without --to, --interactive and --json")
    if interactive and as_json:
        raise ValueError("--interactive goes without --json")


def _replayed(
    opened: SQLStore,
    found: Trajectory,
    ground: Ground,
    wanted: Wanted,
    to: int | None,
    stop_at_divergence: bool,
    interactive: bool,
    anyway: bool,
) -> ReplayReport:
    from contextrl.replays import open_replay
    from sandbox.loop import run_sync

    if interactive:
        from contextrl.cli.stepping import Stepper

        with open_replay(found, ground, wanted, max_turns=_more(found)) as running:
            Stepper(running, opened, anyway).walk()
            return run_sync(running.finish())
    with open_replay(found, ground, wanted) as running:
        _run(running, to, stop_at_divergence)
        return run_sync(running.finish())


def _run(running: Replay, to: int | None, stop_at_divergence: bool) -> None:
    from contextrl.progress import open_progress
    from sandbox.loop import run_sync
    from trajectories.replay.showing import outcome

    with open_progress() as progress:
        progress.stage("Replaying")
        run_sync(
            running.run(
                to=to,
                stop_at_divergence=stop_at_divergence,
                on_step=lambda done, of, step: progress.update(done, of, outcome(step)),
            )
        )


def _keep(opened: SQLStore, report: ReplayReport) -> None:
    from trajectories.protocol import StoreError

    try:
        opened.add_finding("replay", report.trajectory_id, report.model_dump(mode="json"))
    except StoreError as error:
        typer.secho(f"the report is not kept in the store: {error}", fg="yellow", err=True)


def _tell(report: ReplayReport, as_json: bool, *, steps: bool) -> None:
    if as_json:
        typer.echo(report.model_dump_json())
        return
    from rich.console import Console, Group

    from trajectories.replay.showing import report_renderable, summary

    Console().print(report_renderable(report) if steps else Group(*summary(report)))


def _fork(
    opened: SQLStore,
    found: Trajectory,
    ground: Ground,
    wanted: Wanted,
    step: int,
    successor: Successor,
    anyway: bool,
) -> None:
    from contextrl.replays import open_replay

    opened.add_lessons([])  # a store that cannot be written is told now, and not when somebody has worked
    with open_replay(found, ground, wanted, max_turns=_more(found, step, successor.name)) as running:
        _run(running, step, not anyway)
        forked = handed_over(running, successor, opened, anyway)
    raise typer.Exit(0 if forked.status != "infra_error" else DIVERGED)


def handed_over(running: Replay, successor: Successor, opened: SQLStore, anyway: bool) -> Trajectory:
    """Fork where the replay stands, keep the fork, and say how it ended."""
    from contextrl.forking import hand_over

    forked = hand_over(running, successor, anyway=anyway)
    opened.add(forked)
    end = "resolved" if forked.resolved else forked.verdict.reason if forked.verdict else "not graded"
    why = f" ({show.plain(str(forked.extra['error']))})" if forked.status == "infra_error" else ""
    typer.echo(f"fork {forked.id} in the run {show.plain(forked.run)}: {forked.status}{why}, {show.plain(end)}")
    return forked


def _more(found: Trajectory, step: int = 0, name: str = "human") -> int:
    """How many turns a fork may have in all: as the episode had, a person more."""
    from contextrl.forking import MORE_TURNS
    from trajectories.replay.own import environment_of

    if name == "human":
        return len(found.turns) + _HUMAN_TURNS
    return max(int(environment_of(found).get("max_turns") or 0), step + MORE_TURNS)


def _successor(agent: str, policy: str, ground: Ground) -> Successor:
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
