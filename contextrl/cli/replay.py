"""`contextrl replay`: what a trajectory recorded, done again in a fresh sandbox and compared."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import forks, known
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
KEPT = 3
"""Reports of a trajectory and a backend that the store keeps."""
_WITHOUT = {
    "--fork": ("--to", "--interactive", "--json", "--stop-at-divergence", "--no-keep"),
    "--interactive": ("--json", "--to", "--stop-at-divergence"),
    "--repo": ("--tasks",),
}
"""What has no effect beside an option."""
_FOR = {"--agent": ("--fork",), "--policy": ("--fork",), "--anyway": ("--fork", "--interactive")}
"""What has an effect only beside one of others."""


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
    agent: Annotated[
        str | None, typer.Option(help="Who goes on at --fork: human (as it is without this), tools or gold.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy of --agent tools: tiny (as it is without this), or a folder.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Fork also after a divergence.")] = False,
) -> None:
    """Re-execute a trajectory and say where it comes out otherwise. Exit code 1: it does somewhere.

    The report stays in the store, where `contextrl view` shows it.
    """
    from contextrl.replays import Wanted, ground_of

    flags: dict[str, object] = {
        "--to": to,
        "--tasks": tasks,
        "--repo": repo,
        "--stop-at-divergence": stop_at_divergence,
        "--json": as_json,
        "--no-keep": not keep,
        "--interactive": interactive,
        "--fork": fork,
        "--agent": agent,
        "--policy": policy,
        "--anyway": anyway,
    }
    _check_options({name for name, value in flags.items() if value not in (None, False)}, agent)
    with open_store(store) as opened:
        found = opened.get(known.only_id(opened, "trajectories", trajectory, "contextrl traj ls"))
        _check_steps(found, to, fork)
        wanted = Wanted(tasks, repo, backend)
        ground = ground_of(found, opened, wanted)
        if fork is not None:
            successor = forks.successor_of(agent or "human", policy or "tiny", ground)
            _fork(opened, found, ground, wanted, fork, successor, anyway)
            return
        report = _replayed(opened, found, ground, wanted, to, stop_at_divergence, interactive, anyway)
        if keep and report.steps:
            _keep(opened, report)
    _tell(report, as_json, steps=not interactive)
    raise typer.Exit(0 if report.agrees else DIVERGED)


def _check_options(given: Collection[str], agent: str | None) -> None:
    """Refuse what would have no effect."""
    for option, others in _WITHOUT.items():
        if option in given and (without := [other for other in others if other in given]):
            raise ValueError(f"{option} goes without {' and '.join(without)}")
    for option, others in _FOR.items():
        if option in given and not {*others} & {*given}:
            raise ValueError(f"{option} is for {' or '.join(others)} only")
    if agent is not None and agent not in forks.AGENTS:
        raise ValueError(f"there is no agent {agent!r}: choose one of {', '.join(forks.AGENTS)}")
    if "--policy" in given and agent != "tools":
        raise ValueError("--policy is for --agent tools only")


def _check_steps(found: Trajectory, to: int | None, fork: int | None) -> None:
    turns = len(found.turns)
    if not turns:
        raise ValueError(f"the trajectory {found.id} has no turns: there is nothing to replay")
    for name, step in (("--to", to), ("--fork", fork)):
        if step is not None and step > turns:
            raise ValueError(f"{name} is {step}, and the trajectory has {turns} turns")


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

        with open_replay(found, ground, wanted, max_turns=forks.turns_with_fork(found)) as running:
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
        opened.add_finding("replay", report.trajectory_id, report.model_dump(mode="json"), keep=KEPT, alike="backend")
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

    forks.refuse_unwritable(opened)
    with open_replay(found, ground, wanted, max_turns=forks.turns_with_fork(found, step, successor.name)) as running:
        _run(running, step, not anyway)
        forked = forks.handed_over(running, successor, opened, anyway)
    raise typer.Exit(0 if forked.status != "infra_error" else DIVERGED)
