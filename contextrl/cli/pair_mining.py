"""`contextrl pairs mine`: pairs from stored trajectories.

Invariant: what is asked for is checked before anything is mined: the set can be named, the store knows what is mined.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import typer

from contextrl.cli import known
from contextrl.cli.pairs import funnel_table
from contextrl.cli.records import DEFAULT, Store, open_store
from contextrl.cli.wanted import Wanted


def mine(
    run: Annotated[str | None, typer.Option(help="Only trajectories of this run; else of all.")] = None,
    repo: Annotated[str | None, typer.Option(help="Only trajectories of this repository.")] = None,
    name: Annotated[str, typer.Option("--set", help="What the set of pairs is called.")] = "mined",
    commit: Annotated[
        Literal["same", "window", "any"],
        typer.Option(help="Base commits of the two: the same, also others where the place reads alike, any."),
    ] = "same",
    function: Annotated[
        Literal["same", "overlapping", "file"],
        typer.Option(help="What both touch: the same function or class, a class in common, a file."),
    ] = "same",
    judge: Annotated[str, typer.Option(help="rules, or openai:URL#MODEL (rules first).")] = "rules",
    judge_requests: Annotated[int | None, typer.Option(min=1, help="Ask a model at most so often.")] = None,
    judge_tokens: Annotated[int | None, typer.Option(min=1, help="Spend at most so many tokens on it.")] = None,
    embedding: Annotated[
        str | None, typer.Option(help="Relate issues by vectors of openai:URL#MODEL instead of by words.")
    ] = None,
    min_related: Annotated[float, typer.Option(min=0, max=1, help="How related two issues must be, 0 to 1.")] = 0.05,
    verify: Annotated[
        str | None, typer.Option(metavar="TASKSET", help="Really run both patches on both tasks, in a sandbox.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="TASKSET", help="Take right answers from the gold patches of these tasks.")
    ] = None,
    per_function: Annotated[int, typer.Option(min=1, help="Valid pairs of one function after which it is left.")] = 8,
    cut: Annotated[bool, typer.Option("--cut-at-edit", help="End contexts with the first edit.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes that read and mask.")] = 2,
    store: Store = DEFAULT,
) -> None:
    """Mine stored trajectories for pairs, and print the funnel.

    Interrupted, it keeps what it has found, and the same command goes on. What was judged is not judged again.
    """
    from contextrl.mining import MiningRequest, mine_pairs
    from contextrl.progress import open_progress
    from trajectories.admission import checked_name

    checked_name(name, "--set")
    request = MiningRequest(
        run=run,
        repo=repo,
        name=name,
        commit=commit,
        function=function,
        judge=judge,
        judge_requests=judge_requests,
        judge_tokens=judge_tokens,
        embedding=embedding,
        min_related=min_related,
        verify=verify,
        tasks=tasks,
        per_function=per_function,
        keep_after_edit=not cut,
        processes=processes,
    )
    with open_store(store) as opened:
        known.check(opened, "run", run)
        known.check(opened, "repository", repo)
        if (run or repo) and not opened.count(run=run, repo=repo):
            typer.echo(Wanted(run=run, repo=repo).nothing())
            return
        with open_progress() as progress:
            counts = mine_pairs(opened, request, progress)
        left = opened.count_pairs(run=name, judgement="valid", retired=False)
    funnel_table(counts)
    typer.echo(f"\n{left} valid pairs in the set {name!r}; contextrl pairs ls --run {shlex.quote(name)}")
