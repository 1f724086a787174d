"""Text and tables for the terminal.

Invariant: what a policy or a repository wrote cannot move the cursor, set colours or be read as markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import typer

Update = Callable[[int, int, str], None]
"""How far something is: parts done, parts in all, what it does now."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without control characters, lines and tabs excepted."""
    return _CONTROL.sub("", text)


def heading(text: str) -> None:
    """A line above a block of text."""
    typer.secho(f"\n{plain(text)}", bold=True)


def block(text: str) -> None:
    """Text that is not ours, indented."""
    typer.echo("\n".join(f"  {line}" for line in plain(text).splitlines()))


def diff(patch: str) -> None:
    """A unified diff in colours."""
    for line in plain(patch).splitlines():
        added, removed = line.startswith("+"), line.startswith("-")
        typer.secho(f"  {line}", fg="green" if added else "red" if removed else None)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Columns as wide as they need be, so that nothing is cut and pipes work; `empty` says what to do instead."""
    cells = [[plain(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        typer.echo(empty)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for i, row in enumerate([list(columns), *cells]):
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        typer.secho(line, bold=i == 0)


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Names and what they are, one a line."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{typer.style(f'{name:{width}}', bold=True)}  {plain(str(value))}".rstrip())
