"""`contextrl pairs ls|show|funnel`: looking at context pairs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from contextrl.cli import known, show
from contextrl.cli.records import DEFAULT, Json, Limit, Lines, Store, open_store
from contextrl.cli.wanted import as_options

if TYPE_CHECKING:
    from trajectories.queries import PairFilters, PairLife
    from trajectories.records import ContextPair

pairs = typer.Typer(no_args_is_help=True, help="Context pairs: mine, list, read, audit, move; the funnel of mining.")

Set = Annotated[str | None, typer.Option("--run", help="Only pairs of this run, or of this mined set.")]
Repo = Annotated[str | None, typer.Option(help="Only this repository.")]
StageOption = Annotated[
    Literal["repo", "file", "function"] | None, typer.Option(help="Only those that share this much.")
]
_RETIRED = "--retired/--alive"


@pairs.command("ls")
def list_pairs(
    run: Set = None,
    repo: Repo = None,
    function: Annotated[
        str | None, typer.Option(help="Only about this function: path::name, or how that ends.")
    ] = None,
    judgement: Annotated[
        Literal["valid", "invalid", "uncertain"] | None, typer.Option(help="Only those judged so.")
    ] = None,
    stage: StageOption = None,
    retired: Annotated[
        bool | None, typer.Option(_RETIRED, help="Only those whose label fell, or only the others.")
    ] = None,
    limit: Limit = 20,
    as_json: Json = False,
    store: Store = DEFAULT,
) -> None:
    """List context pairs."""
    given = {"run": run, "repo": repo, "function": function, "judgement": judgement, "stage": stage, "retired": retired}
    filters: PairFilters = {"run": run, "repo": repo, "judgement": judgement, "stage": stage, "retired": retired}
    with open_store(store) as opened:
        known.check(opened, "set", run)
        known.check(opened, "repository with pairs", repo)
        filters["function"] = known.full_question(opened, function, repo)
        found = opened.pairs(limit=limit, order="newest", **filters)
        lives = opened.pair_life([p.id for p in found])
    if as_json:
        for pair in found:
            typer.echo(json.dumps(_facts(pair, lives[pair.id])))
        return
    rows = [
        (p.id[:8], p.run, p.repo, p.function or p.file, p.stage, f"{p.similarity:.2f}", p.judgement, lives[p.id].uses)
        for p in found
    ]
    columns = ("id", "run", "repository", "function", "stage", "similarity", "judgement", "uses")
    said = as_options(given, {"retired": _RETIRED})
    empty = "The store has no pairs: `contextrl train` and `contextrl pairs mine` mine them."
    show.table(columns, rows, f"No pair passes {said}." if said else empty)


def _facts(pair: ContextPair, life: PairLife) -> dict[str, Any]:
    """What a list says of a pair: all but its texts."""
    texts = {"answer", "replaced", "confounder_answer", "anchor", "confounder"}
    roles = {
        f"{role}_{name}": getattr(context, name)
        for role, context in (("anchor", pair.anchor), ("confounder", pair.confounder))
        for name in ("trajectory_id", "instance_id")
    }
    return pair.model_dump(exclude=texts) | roles | life._asdict()


@pairs.command("show")
def show_pair(
    pair: Annotated[str, typer.Argument(help="Its id, or how that starts.")],
    lines: Lines = 40,
    as_json: Json = False,
    store: Store = DEFAULT,
) -> None:
    """Show one pair: the answer, the context that supports it, and the one that does not."""
    with open_store(store) as opened:
        name = known.only_id(opened, "pairs", pair, "contextrl pairs ls")
        found, life = opened.get_pair(name), opened.pair_life([name])[name]
    if as_json:
        typer.echo(found.model_dump_json())
        return
    from rich.console import Console

    from trajectories.show import pair_renderable

    Console().print(pair_renderable(found, max_lines=lines))
    if life.uses or life.retired:
        used = f"learned from {life.uses} times" + f", last at policy version {life.last_used}" * bool(life.uses)
        typer.echo(used + f"; retired: {show.plain(life.retired)}" * bool(life.retired))


@pairs.command("funnel")
def show_funnel(
    run: Annotated[str, typer.Option(help="The run, or the mined set.")], as_json: Json = False, store: Store = DEFAULT
) -> None:
    """Show how many candidates each stage of mining left."""
    with open_store(store) as opened:
        known.check(opened, "set", run)
        counts = opened.funnel(run)
    if as_json:
        typer.echo(json.dumps(counts))
        return
    funnel_table(counts, f"Nothing was mined in {run!r}: there are trajectories or pairs of that name only.")


def funnel_table(counts: dict[str, int], empty: str = "") -> None:
    """The funnel, and what each stage left of the one before, where it counts the same things."""
    from trajectories.mining.couples import FUNNEL

    rows = []
    before = 0
    for stage in dict.fromkeys(s for s in (*FUNNEL, *counts) if s in counts):
        n = counts[stage]
        judged = stage in ("uncertain", "invalid")
        share = n / before if before and not judged and stage != "asked" else 2.0
        rows.append((stage, f"{n:,}", f"{share:.1%}" if share <= 1 else "-"))
        before = before if judged else n
    show.table(("stage", "left", "of the stage before"), rows, empty)
