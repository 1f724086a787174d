"""`contextrl repo`: repositories made ready."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from contextrl.cli import show

repo = typer.Typer(no_args_is_help=True, help="Repositories: plug one in, list them.")


@repo.command("add")
def add(
    source: Annotated[
        str, typer.Argument(help="pypi:NAME==VERSION, git+URL@REVISION, generated:seed=0,modules=200, or a folder.")
    ],
    name: Annotated[str | None, typer.Option(help="Its name here; from the source by default.")] = None,
    install: Annotated[str | None, typer.Option(help="What its tests need, where that is not found out.")] = None,
    test: Annotated[str | None, typer.Option(help="Its test command, e.g. 'python -m pytest {tests}'.")] = None,
    backend: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
) -> None:
    """Fetch a repository, make its environment, run its tests in sandboxes, remember it all."""
    from contextrl.progress import open_progress
    from envs.repos import add_repository, parse_source
    from envs.task import RepoProfile
    from sandbox import open_backend

    if not source.strip():
        raise ValueError("no repository is given: pypi:NAME==VERSION, git+URL@REVISION, or the path of a folder")
    parse_source(source)  # a mistake is told before anything starts

    async def run(on_progress: show.Update) -> RepoProfile:
        sandboxes = await open_backend(backend)
        try:
            return await add_repository(
                source, name=name, install=install, test=test, backend=sandboxes, on_progress=on_progress
            )
        finally:
            await sandboxes.close()

    with open_progress() as progress:
        progress.stage(f"Adding {source.partition('#')[0]}")
        profile = asyncio.run(run(progress.update))
    typer.echo(f"{profile.name} is ready: contextrl repo show {profile.name}")


@repo.command("ls")
def ls() -> None:
    """List the repositories that are ready."""
    from envs.repos import list_profiles

    rows = [
        (p.name, p.version, p.base_commit[:12], len(p.source_files), len(p.test_files), p.source)
        for p in list_profiles()
    ]
    columns = ("name", "version", "commit", "files", "test files", "source")
    show.table(columns, rows, "No repository yet; plug one in with `contextrl repo add pypi:NAME==VERSION`.")


@repo.command("show")
def show_repo(name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Show what is known of a repository."""
    from envs.repos import load_profile

    p = load_profile(name)
    rows = [
        ("name", p.name),
        ("source", p.source),
        ("version", p.version),
        ("base commit", p.base_commit),
        ("sources", p.tree),
        ("python", p.python or "-"),
        ("test command", p.test_cmd),
        ("tests, seconds", p.test_seconds),
        ("flaky tests", ", ".join(p.flaky) or "none"),
        ("functions with tests", len(p.covers)),
        ("source files", ", ".join(p.source_files)),
    ]
    show.facts(rows)
