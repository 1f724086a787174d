"""`contextrl traj` and `contextrl pairs`: what happened, and what was mined from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from trajectories.records import MaskedContext, Trajectory
    from trajectories.store import SQLStore

traj = typer.Typer(no_args_is_help=True, help="Trajectories: every episode, turn by turn.")
pairs = typer.Typer(no_args_is_help=True, help="Context pairs and the funnel they came through.")

Store = Annotated[str, typer.Option(help="Path or URL of the store.")]
Run = Annotated[str | None, typer.Option(help="Only this run.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")]
DEFAULT = "runs/trajectories.db"


def open_store(where: str) -> SQLStore:
    """The store, which must be there."""
    from trajectories.store import SQLStore

    return SQLStore(where if "://" in where else Path(where), create=False)


def complete(start: str, ids: Iterable[str], what: str) -> str:
    """The one id that starts so. Raises `ValueError`."""
    found = [i for i in ids if i.startswith(start)]
    if len(found) != 1:
        problem = f"{len(found)} ids start with" if found else "there is no id that starts with"
        raise ValueError(f"{problem} {start!r}; `contextrl {what} ls` lists them")
    return found[0]


@traj.command("ls")
def list_trajectories(
    run: Run = None,
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task instance.")] = None,
    resolved: Annotated[bool | None, typer.Option("--resolved/--failed", help="Only those.")] = None,
    limit: Limit = 20,
    store: Store = DEFAULT,
) -> None:
    """List trajectories."""
    with open_store(store) as opened:
        found = opened.summaries(run=run, repo=repo, instance_id=task, resolved=resolved, limit=limit, order="newest")
        rows = [
            (t.id[:8], t.run, t.iteration, t.instance_id, t.status, "yes" if t.resolved else "no", t.turns, t.tokens)
            for t in found
        ]
    columns = ("id", "run", "iteration", "task instance", "status", "resolved", "turns", "tokens")
    show.table(columns, rows, "No such trajectory; `contextrl train` makes them.")


@traj.command("show")
def show_trajectory(
    trajectory: Annotated[str, typer.Argument(help="Its id, or how that starts.")],
    store: Store = DEFAULT,
) -> None:
    """Show one trajectory: turns, observations, patch, verdict."""
    with open_store(store) as opened:
        whole = complete(trajectory, (t.id for t in opened.summaries()), "traj")
        _print(opened.get(whole))


def _print(t: Trajectory) -> None:
    show.heading(f"{t.instance_id}  ({t.repo} at {t.base_commit[:12]}, run {t.run or '-'}, iteration {t.iteration})")
    show.block(t.problem_statement)
    for i, turn in enumerate(t.turns, 1):
        arguments = ", ".join(f"{name}={value!r}" for name, value in turn.tool_call.arguments.items())
        ended = "" if turn.exit_code is None else f"  exit code {turn.exit_code}"
        show.heading(f"{i}. {turn.tool_call.name}({arguments}){ended}  [{len(turn.completion_ids)} tokens]")
        if turn.tool_call.error:
            show.block(f"{turn.tool_call.error}\n{turn.text}")
        show.block(turn.observation)
    show.heading("patch")
    show.diff(t.patch or "(nothing was changed)")
    verdict = t.verdict
    reward = "none" if t.reward is None else f"{t.reward:g}"
    show.heading(f"{t.status}, {'resolved' if t.resolved else 'not resolved'}, reward {reward}")
    if verdict is not None:
        statuses = {**verdict.fail_to_pass, **verdict.pass_to_pass}
        lines = [verdict.reason, *(f"{status:8} {test}" for test, status in statuses.items())]
        show.block("\n".join(line for line in lines if line))


@pairs.command("ls")
def list_pairs(
    run: Run = None,
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None,
    judgement: Annotated[
        Literal["valid", "invalid", "uncertain"] | None, typer.Option(help="Only those judged so.")
    ] = None,
    stage: Annotated[
        Literal["repo", "file", "function"] | None, typer.Option(help="Only those that share this much.")
    ] = None,
    limit: Limit = 20,
    store: Store = DEFAULT,
) -> None:
    """List context pairs."""
    with open_store(store) as opened:
        found = opened.pairs(run=run, repo=repo, judgement=judgement, stage=stage, limit=limit, order="newest")
        rows = [
            (p.id[:8], p.run, p.repo, p.function or p.file, p.stage, f"{p.similarity:.2f}", p.judgement) for p in found
        ]
    columns = ("id", "run", "repository", "function", "stage", "similarity", "judgement")
    show.table(columns, rows, "No such pair; `contextrl train` mines them.")


@pairs.command("show")
def show_pair(pair: Annotated[str, typer.Argument(help="Its id, or how that starts.")], store: Store = DEFAULT) -> None:
    """Show one pair: the answer, the context that supports it, and the one that does not."""
    with open_store(store) as opened:
        p = opened.get_pair(complete(pair, (q.id for q in opened.pairs()), "pairs"))
    show.heading(f"{p.repo} {p.function or p.file}: {p.judgement}, same {p.stage}, similarity {p.similarity:.2f}")
    show.block("\n".join(p.reasons))
    show.heading("answer")
    show.block(p.answer)
    _context("anchor (supports the answer)", p.anchor)
    _context("confounder (does not)", p.confounder)


def _context(title: str, context: MaskedContext) -> None:
    show.heading(f"{title}: trajectory {context.trajectory_id[:8]}")
    show.block(context.problem_statement)
    for i, turn in enumerate(context.turns, 1):
        show.block(f"{i}. {turn.text}\n{turn.observation}")


@pairs.command("funnel")
def show_funnel(run: Annotated[str, typer.Option(help="The run.")], store: Store = DEFAULT) -> None:
    """Show how many candidates each filter left."""
    with open_store(store) as opened:
        counts = opened.funnel(run)
    show.table(("filter", "candidates"), counts.items(), f"Nothing was mined in a run named {run!r}.")
