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
    python: Annotated[str | None, typer.Option(help="Python for it: 3.12, or the path of an interpreter.")] = None,
    backend: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
) -> None:
    """Fetch a repository, make its environment, run its tests in sandboxes, remember it all."""
    from contextrl.progress import open_progress
    from envs.repos import add_repository, learned, list_profiles, parse_source
    from envs.task import RepoProfile
    from sandbox import open_backend

    if not source.strip():
        raise ValueError("no repository is given: pypi:NAME==VERSION, git+URL@REVISION, or the path of a folder")
    parse_source(source)  # a mistake is told before anything starts
    before = list_profiles()

    async def run(on_progress: show.Update) -> RepoProfile:
        sandboxes = await open_backend(backend)
        try:
            return await add_repository(
                source,
                name=name,
                install=install,
                test=test,
                python=python,
                backend=sandboxes,
                on_progress=on_progress,
            )
        finally:
            await sandboxes.close()

    with open_progress() as progress:
        progress.stage(f"Adding {source.partition('#')[0]}")
        profile = asyncio.run(run(progress.update))
    for note in learned(profile).notes:
        typer.echo(show.plain(f"  {note}"))
    others = [old for old in before if old.name == profile.name and old.tree != profile.tree]
    if others and profile.tree not in [old.tree for old in before]:
        typer.echo(show.plain(f"  {profile.name} was {others[0].source} before: --name keeps both"))
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
def show_repo(
    name: Annotated[str, typer.Argument(help="Its name.")],
    functions: Annotated[
        bool, typer.Option("--functions", help="List every function with the tests that call it.")
    ] = False,
) -> None:
    """Show what is known of a repository."""
    from envs.repos import learned, load_profile

    p = load_profile(name)
    if functions:
        rows = [(function, len(tests), tests[0]) for function, tests in p.covers.items()]
        show.table(("function", "tests", "cheapest test"), rows, "No test calls a function of the sources.")
        return
    known = learned(p)
    tested = {function.partition("::")[0] for function in p.covers}
    facts = [
        ("name", p.name),
        ("source", p.source),
        ("version", p.version or "-"),
        ("base commit", p.base_commit),
        ("sources", p.tree),
        ("build backend", known.build_backend or "none"),
        ("python", f"{known.python or '-'} (asks for {known.requires_python or 'none'}), {p.python or '-'}"),
        ("needs", ", ".join(known.required) or "nothing"),
        ("tests need", ", ".join(known.wanted) or "nothing more"),
        ("installed", ", ".join(p.requirements) or "nothing"),
        ("test command", p.test_cmd),
        ("tests", f"{known.passing} pass, {known.failing} fail, {known.skipped} skipped, {len(p.flaky)} flaky"),
        ("one run, seconds", f"{p.test_seconds} (run {known.runs} times, {known.sandbox or 'unknown'} sandboxes)"),
        ("flaky tests", ", ".join(p.flaky) or "none"),
        (
            "functions with tests",
            f"{len(p.covers)} in {len(tested)} of {len(p.source_files)} source files (--functions)",
        ),
        *(("note", note) for note in known.notes),
    ]
    show.facts(facts)


@repo.command("check")
def check(
    name: Annotated[str, typer.Argument(help="Its name.")],
    backend: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
) -> None:
    """Do it all again, and say whether what was learned still holds; exit code 1 where it does not."""
    from contextrl.progress import open_progress
    from envs.repos import Finding, check_repository, load_profile
    from sandbox import open_backend

    profile = load_profile(name)

    async def run(on_progress: show.Update) -> list[Finding]:
        sandboxes = await open_backend(backend)
        try:
            return await check_repository(profile, backend=sandboxes, on_progress=on_progress)
        finally:
            await sandboxes.close()

    with open_progress() as progress:
        progress.stage(f"Checking {profile.name}")
        findings = asyncio.run(run(progress.update))
    rows = [(finding.what, "holds" if finding.holds else "CHANGED", finding.text) for finding in findings]
    show.table(("what", "", "now"), rows, "Nothing was checked.")
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)
