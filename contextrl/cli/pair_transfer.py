"""`contextrl pairs export|import`: sets of pairs from store to store.

Invariant: a file that cannot be read is told before a store is made; what stands before a damaged place is imported.
"""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from contextrl.cli import known, show
from contextrl.cli.pairs import Repo, Set, StageOption
from contextrl.cli.records import DEFAULT, Store, open_store

if TYPE_CHECKING:
    from trajectories.records import ContextPair
    from trajectories.store import SQLStore


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON Lines, one pair a line; .gz packs it.")],
    run: Set = None,
    repo: Repo = None,
    judgement: Annotated[
        Literal["valid", "invalid", "uncertain", "any"], typer.Option(help="Only those judged so.")
    ] = "valid",
    stage: StageOption = None,
    heldout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of pairs for OUT.heldout; no function is in both files.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite files that are there.")] = False,
    store: Store = DEFAULT,
) -> None:
    """Write pairs to a file; with --heldout, training and held-out pairs to two."""
    from contextrl.pair_files import export_pairs

    with open_store(store) as opened:
        known.check(opened, "set", run)
        known.check(opened, "repository with pairs", repo)
        wanted = None if judgement == "any" else judgement
        filters = {"run": run, "repo": repo, "judgement": wanted, "stage": stage, "retired": False}
        written, between = export_pairs(opened, out, filters, heldout=heldout, seed=seed, replace=replace)
    for path, count in written.items():
        typer.echo(f"{count} pairs in {path}")
    if between:
        typer.echo(f"{between} pairs in neither: one side touches what is trained on, the other what is held out")


def import_pairs(
    files: Annotated[list[Path], typer.Argument(help="Files that `pairs export` wrote.")],
    name: Annotated[str | None, typer.Option("--set", help="Call the set so; else as it was called.")] = None,
    store: Store = DEFAULT,
) -> None:
    """Read pairs into the store. What is there already stays as it is."""
    from contextrl.pair_files import read_pairs
    from trajectories.admission import checked_name
    from trajectories.store import SQLStore

    if name is not None:
        checked_name(name, "--set")
    for path in files:
        if not path.is_file():
            problem = "is a folder: give the files in it" if path.is_dir() else "is not there: check the path"
            raise ValueError(f"{path} {problem}")
    with SQLStore(store) as opened:
        if name is not None and opened.is_mined(name):
            raise ValueError(f"--set: all of {name!r} was mined here, in one way: give another name")
        for path in files:
            counts = {"new": 0, "there": 0}
            try:
                for batch in read_pairs(path, name):
                    _add(opened, path, batch, counts)
            finally:
                there = f", {counts['there']} that were there" * bool(counts["there"])
                typer.echo(f"{show.plain(str(path))}: {counts['new']} new pairs{there}")


def _add(store: SQLStore, path: Path, batch: list[ContextPair], counts: dict[str, int]) -> None:
    """Keep those that are new. Raises `ValueError` that names the line of the first that cannot be kept."""
    from trajectories.admission import objection_to
    from trajectories.queries import StoreError

    fit = next((i for i, pair in enumerate(batch) if objection_to(pair)), len(batch))
    try:
        _count(counts, len(store.add_pairs(batch[:fit])), fit)
    except StoreError:
        for pair in batch[:fit]:  # all before the one that is refused
            try:
                _count(counts, len(store.add_pairs([pair])), 1)
            except StoreError as error:
                place = _place(path, sum(counts.values()) + 1)
                raise ValueError(f"{place}: {error} What stands before it is imported.") from error
    if fit < len(batch):
        place = _place(path, sum(counts.values()) + 1)
        raise ValueError(f"{place}: {objection_to(batch[fit])}; what stands before it is imported")


def _count(counts: dict[str, int], new: int, of: int) -> None:
    counts["new"] += new
    counts["there"] += of - new


def _place(path: Path, number: int) -> str:
    """Where the pair of that number, from 1, stands in a file."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        lines = (i for i, line in enumerate(file, 1) if line.strip())
        return f"{path}, line {next(islice(lines, number - 1, None))}"
