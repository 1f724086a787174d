"""`contextrl pairs`: mine context pairs from stored trajectories, look at them, move them between stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from contextrl.cli import show
from contextrl.cli.records import DEFAULT, Store, open_store

pairs = typer.Typer(no_args_is_help=True, help="Context pairs: mine, list, read, audit, move; the funnel of mining.")

Set = Annotated[str | None, typer.Option("--run", help="Only pairs of this run, or of this mined set.")]


@pairs.command("mine")
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
    with open_store(store) as opened, open_progress() as progress:
        counts = mine_pairs(opened, request, progress)
    funnel_table(counts, f"The set {name!r} has no pairs: the store is empty.")
    typer.echo(f"\n{counts.get('valid', 0)} valid pairs in the set {name!r}; contextrl pairs ls --run {name}")


def funnel_table(counts: dict[str, int], empty: str) -> None:
    """The funnel, and what each stage left of the one before."""
    from trajectories.mining.couples import FUNNEL

    rows = []
    before = 0
    for stage in dict.fromkeys(s for s in (*FUNNEL, *counts) if s in counts):
        n = counts[stage]
        judged = stage in ("uncertain", "invalid")
        share = f"{n / before:.1%}" if before and not judged and stage != "asked" else ""
        rows.append((stage, f"{n:,}", share))
        before = before if judged else n
    show.table(("stage", "left", "of the stage before"), rows, empty)


@pairs.command("ls")
def list_pairs(
    run: Set = None,
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None,
    function: Annotated[str | None, typer.Option(help="Only this function, as path::name.")] = None,
    judgement: Annotated[
        Literal["valid", "invalid", "uncertain"] | None, typer.Option(help="Only those judged so.")
    ] = None,
    stage: Annotated[
        Literal["repo", "file", "function"] | None, typer.Option(help="Only those that share this much.")
    ] = None,
    retired: Annotated[
        bool | None, typer.Option("--retired/--alive", help="Only those whose label fell, or only the others.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    store: Store = DEFAULT,
) -> None:
    """List context pairs."""
    with open_store(store) as opened:
        found = opened.pairs(
            run=run,
            repo=repo,
            function=function,
            judgement=judgement,
            stage=stage,
            retired=retired,
            limit=limit,
            order="newest",
        )
        lives = opened.pair_life([p.id for p in found])
        rows = [
            (p.id[:8], p.run, p.repo, p.function or p.file, p.stage, f"{p.similarity:.2f}", p.judgement, life.uses)
            for p in found
            for life in [lives[p.id]]
        ]
    columns = ("id", "run", "repository", "function", "stage", "similarity", "judgement", "uses")
    show.table(columns, rows, "No such pair; `contextrl train` and `contextrl pairs mine` mine them.")


@pairs.command("show")
def show_pair(
    pair: Annotated[str, typer.Argument(help="Its id, or how that starts.")],
    lines: Annotated[int, typer.Option(min=2, help="Lines shown of each longer text.")] = 40,
    store: Store = DEFAULT,
) -> None:
    """Show one pair: the answer, the context that supports it, and the one that does not."""
    from rich.console import Console

    from trajectories.show import pair_renderable

    with open_store(store) as opened:
        ids = opened.find_ids(pair, "pairs")
        if len(ids) != 1:
            problem = f"{len(ids)} or more ids start with" if ids else "there is no id that starts with"
            raise ValueError(f"{problem} {pair!r}; `contextrl pairs ls` lists them")
        found, life = opened.get_pair(ids[0]), opened.pair_life(ids)[ids[0]]
    Console().print(pair_renderable(found, max_lines=lines))
    if life.uses or life.retired:
        used = f"learned from {life.uses} times" + f", last at policy version {life.last_used}" * bool(life.uses)
        typer.echo(used + f"; retired: {life.retired}" * bool(life.retired))


@pairs.command("funnel")
def show_funnel(run: Annotated[str, typer.Option(help="The run, or the mined set.")], store: Store = DEFAULT) -> None:
    """Show how many candidates each stage of mining left."""
    with open_store(store) as opened:
        funnel_table(opened.funnel(run), f"Nothing was mined in a run named {run!r}.")


@pairs.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON Lines, one pair a line; .gz packs it.")],
    run: Set = None,
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None,
    judgement: Annotated[
        Literal["valid", "invalid", "uncertain", "any"], typer.Option(help="Only those judged so.")
    ] = "valid",
    stage: Annotated[
        Literal["repo", "file", "function"] | None, typer.Option(help="Only those that share this much.")
    ] = None,
    heldout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of pairs for OUT.heldout; no function is in both files.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite files that are there.")] = False,
    store: Store = DEFAULT,
) -> None:
    """Write pairs to a file; with --heldout, training and held-out pairs to two."""
    from contextrl.mining import export_pairs

    with open_store(store) as opened:
        wanted = None if judgement == "any" else judgement
        filters = {"run": run, "repo": repo, "judgement": wanted, "stage": stage, "retired": False}
        for path, count in export_pairs(opened, out, filters, heldout=heldout, seed=seed, replace=replace).items():
            typer.echo(f"{count} pairs in {path}")


@pairs.command("import")
def import_pairs(
    files: Annotated[list[Path], typer.Argument(help="Files that `pairs export` wrote.")],
    name: Annotated[str | None, typer.Option("--set", help="Call the set so; else as it was called.")] = None,
    store: Store = DEFAULT,
) -> None:
    """Read pairs into the store. What is there already stays as it is."""
    from contextrl.mining import read_pairs
    from trajectories.store import SQLStore

    with SQLStore(store if "://" in store else Path(store)) as opened:
        for path in files:
            new = known = 0
            try:
                for batch in read_pairs(path, name):
                    added = len(opened.add_pairs(batch))
                    new, known = new + added, known + len(batch) - added
            finally:
                typer.echo(f"{path}: {new} new pairs" + f", {known} that were there" * bool(known))
