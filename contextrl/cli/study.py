"""`contextrl study`: a recipe in several arms, over several seeds."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contextrl.study.plan import Plan


def study(
    recipe: Annotated[Path, typer.Argument(help="A recipe, e.g. recipes/quickstart.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override a key in all arms.")
    ] = None,
    arms: Annotated[
        str,
        typer.Option(help="Which, comma-separated: base, grpo, da-rl, da-sft, contextrl, contextrl-linear, language."),
    ] = "",
    seeds: Annotated[str, typer.Option(help="How many, e.g. 5, or which, e.g. 0,3,7.")] = "",
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME KEY=VALUE ...'", help="One more arm, of your own; may be given several times."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, list the runs, and stop.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Make tables and figure from what is there, and stop.")
    ] = False,
) -> None:
    """Run a recipe in several arms over several seeds, and compare them.

    The same command goes on where it was stopped. What is not given stands in the recipe's `study` section.
    """
    from contextrl.study.plan import planned

    plan = planned(recipe, overrides or (), arms=arms, seeds=seeds, own=arm or ())
    if report:
        _report(plan)
        return
    _check(plan)
    if dry_run:
        for run in plan.runs:
            typer.echo(f"{run.recipe.name}{'  finished' if run.finished else ''}")
        return
    from contextrl.progress import open_progress
    from contextrl.study.playing import play

    with open_progress() as progress:
        failed = play(plan, progress, _sentence)
    if len(failed) < len(plan.runs):
        _report(plan)
    for name, why in failed.items():
        typer.secho(f"{name} failed: {why}", err=True, fg="red")
    if failed:
        raise typer.Exit(1)


def _check(plan: Plan) -> None:
    """What can be known of each run before it begins."""
    from contextrl.preflight import check

    for note in dict.fromkeys(note for run in plan.runs for note in check(run.recipe)):
        typer.secho(f"note: {note}", err=True, fg="yellow")


def _report(plan: Plan) -> None:
    from rich.console import Console

    from contextrl.study.page import summary, write_study
    from contextrl.study.results import results

    found = results(plan)
    write_study(plan.folder, found)
    Console().print(summary(found, plan.folder))


def _sentence(error: Exception) -> str:
    from contextrl.cli import first_cause, is_told, sentence

    if os.environ.get("CONTEXTRL_DEBUG"):
        traceback.print_exception(error)
    cause = first_cause(error)
    return sentence(cause, "study") if is_told(cause) else f"{type(cause).__name__}: {sentence(cause)}"
