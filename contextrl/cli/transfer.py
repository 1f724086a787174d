"""`contextrl traj import|export`: trajectories of other programs in, ours out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contextrl.cli import show
from contextrl.cli.records import DEFAULT, Store, open_store
from contextrl.cli.wanted import MOST, Wanted, about_trajectories

if TYPE_CHECKING:
    from trajectories.formats.importing import Imported
    from trajectories.queries import Filters
    from trajectories.records import Trajectory
    from trajectories.store import SQLStore

_BATCH = 32


def import_trajectories(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders of files.")],
    format: Annotated[str, typer.Option("--format", help="Whose files they are; auto looks into each.")] = "auto",
    run: Annotated[
        str | None, typer.Option(help="The run they become part of; by default their own, else the path's name.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="FILE_OR_SET", help="Task rows or a task set: base commit, statement, tests.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A git checkout: touched functions are exact where it has them.")
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="To a run that has other trajectories already.")] = False,
    store: Store = DEFAULT,
) -> None:
    """Import trajectories of SWE-agent, mini-swe-agent, OpenHands, harbor (ATIF), SWE-smith and others.

    What is stored stays when it is interrupted, and the same command goes on.
    """
    from contextrl.progress import open_progress
    from contextrl.task_facts import facts_of, of_instance, read_documents
    from trajectories.admission import checked_name
    from trajectories.formats import FormatError
    from trajectories.formats.completing import completed, git_source
    from trajectories.formats.finding import find_files
    from trajectories.formats.importing import Imported, Importer
    from trajectories.store import SQLStore

    if run is not None:
        checked_name(run, "--run")
    result, name = Imported(), _name(paths[0])
    documents = read_documents(tasks) if tasks is not None else {}
    known: dict[str, dict[str, dict[str, Any]]] = {}
    read = git_source(source) if source is not None else None

    def change(trajectory: Trajectory) -> Trajectory:
        document = of_instance(documents, trajectory.instance_id)
        if document is not None:
            known.setdefault(run or trajectory.run or name, {})[trajectory.instance_id] = document
        return completed(trajectory, facts_of(document) if document is not None else None, read)

    try:
        with open_progress() as progress:
            progress.stage("Looking into files")
            files = find_files(paths, format, result, lambda found: progress.update(found, None))
            if files:
                with SQLStore(store) as opened:
                    importer = Importer(opened, result, change, lambda trajectory: run or trajectory.run or name)
                    if not append:
                        importer.check_run(files)
                    progress.stage("Importing")
                    try:
                        importer.add(files, progress.update)
                    finally:
                        for of_run, found in known.items():
                            opened.add_tasks(of_run, found)
    except KeyboardInterrupt:
        typer.echo(f"{result.stored.total()} trajectories are imported; the same command goes on", err=True)
        raise
    _tell(result)
    if not result.stored and not result.problems:
        raise FormatError(f"there is no trajectory in {', '.join(map(str, paths))}")
    if result.problems:
        raise typer.Exit(2)


@about_trajectories
def export_trajectories(
    wanted: Wanted,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file, or the folder, to write.")],
    format: Annotated[str, typer.Option("--format", help="In whose form.")] = "contextrl",
    limit: Annotated[int | None, typer.Option(min=1, max=MOST, help="At most so many, the oldest first.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="What is there gives way.")] = False,
    store: Store = DEFAULT,
) -> None:
    """Export trajectories: to other programs, or to other stores."""
    from contextrl.progress import open_progress
    from trajectories.formats import FormatError, find

    form = find(format)
    if output.exists():
        _check_output(output, form.suffixes, replace)
    with open_store(store) as opened:
        filters = wanted.filters(opened)
        total = min(opened.count(**filters), limit or MOST)
        if not total:
            raise FormatError(f"{wanted.nothing().removesuffix('.')}; nothing is written")
        with open_progress() as progress:
            progress.stage("Exporting")
            written = form.write(_stored(opened, filters, total, progress.update), output)
    typer.echo(f"{written} trajectories: {output}")


def _stored(opened: SQLStore, filters: Filters, total: int, on_progress: show.Update) -> Iterator[Trajectory]:
    """Those that pass the filters, a few read at a time."""
    summaries = islice(opened.scan(**filters), total)
    done = 0
    while ids := [summary.id for summary in islice(summaries, _BATCH)]:
        found = opened.get_many(ids)
        for trajectory_id in ids:
            on_progress(done, total, "")
            yield found[trajectory_id]
            done += 1
    on_progress(done, total, "")


def _check_output(output: Path, suffixes: tuple[str, ...], replace: bool) -> None:
    from trajectories.formats import FormatError

    if not replace:
        raise FormatError(f"{output} is there already: give another --output, or --replace it")
    other = [path.name for path in output.iterdir() if not _written(path, suffixes)] if output.is_dir() else []
    if other:
        raise FormatError(f"{output} also holds {other[0]}, which is no trajectory: give another --output")


def _written(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.is_file() and path.name.endswith((*suffixes, ".report.json"))


def _name(path: Path) -> str:
    """What a run is called after a path."""
    name = path.resolve().name
    return name.partition(".")[0] or name if path.is_file() else name


def _tell(result: Imported) -> None:
    """What was imported, and what was not."""
    for problem in result.problems:
        typer.secho(show.plain(problem), err=True, fg="red")
    for what, paths in result.passed_over.items():
        names = ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
        typer.echo(show.plain(f"passed over as {what}: {len(paths)} ({names})"))
    for name, count in result.stored.items():
        typer.echo(f"{name}: {count} trajectories")
    if result.stored:
        there, runs = result.stored.total() - result.new, ", ".join(result.runs)
        typer.echo(show.plain(f"imported: {result.new} new, {there} there already; run {runs}"))
        typer.echo(f"touched: {result.functions} functions, {result.sources} of them with their text before the patch")
    for run, count in result.elsewhere.items():
        typer.echo(
            show.plain(f"{count} of these stand already in run {run or '(without a name)'} and are stored in both: ")
            + "`contextrl pairs mine` without --run mines both"
        )
