"""`contextrl export html`: a trajectory, a group or a run as one file that opens anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from contextrl.cli.records import DEFAULT, Store, open_store

export = typer.Typer(no_args_is_help=True, help="Files that show what a store holds, to send to others.")


@export.command("html")
def html(
    what: Annotated[str, typer.Argument(help="A trajectory's id or how that starts, a group's name, or a run's.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    kind: Annotated[
        Literal["trajectory", "group", "run"] | None, typer.Option(help="What it is, where the name could be several.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="The run of the group.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="What is there gives way.")] = False,
    store: Store = DEFAULT,
) -> None:
    """Write one self-contained HTML file: it needs no network and holds no script."""
    from trajectories.formats.writing import whole
    from trajectories.viewer.export import export as exported
    from trajectories.viewer.export import find
    from trajectories.viewer.opening import Source

    if output.exists() and not replace:
        raise ValueError(f"{output} is there already: give another --output, or --replace it")
    if output.is_dir():
        raise ValueError(f"{output} is a folder: give the name of a file")
    if not output.parent.is_dir():
        raise ValueError(f"{output.parent} is not there: give an --output in a folder that is")
    open_store(store).close()
    source = Source(store)
    try:
        found = find(source, what, kind, run)
        text = exported(source, found)
    finally:
        source.close()
    with whole(output) as made:
        made.write_text(text, encoding="utf-8")
    typer.echo(f"{found.kind} {found.name}, {_size(len(text.encode()))}: {output}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
