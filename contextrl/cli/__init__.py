"""The command line: `contextrl --help`.

Invariant: whatever a user may have caused is told in one sentence on standard error with exit code 2, without a
traceback (CONTEXTRL_DEBUG=1 shows it); Ctrl-C ends with 130. Commands import what they need when they run, so that
help comes at once.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from contextrl.cli import (
    doctor,
    export,
    grade,
    images,
    judging,
    pair_mining,
    pair_transfer,
    pairs,
    policy,
    probe,
    records,
    replay,
    repos,
    sandboxes,
    stats,
    study,
    tasks,
    train,
    transfer,
    upkeep,
    view,
)
from contextrl.cli.remedies import remedy
from trajectories.endpoints.posting import EndpointDown

OURS = {"sandbox", "envs", "agents", "trajectories", "contextrl"}


GOES_ON = {
    ("grade",): " with what is not graded yet",
    ("probe",): " with the questions that are left",
    ("study",): " with the runs that are not finished, each from its last checkpoint",
    ("pairs", "import"): "; what was read is kept",
    ("pairs", "mine"): "; what was found is kept",
}
"""Commands that go on where they were stopped, and with what; some tell it themselves, with numbers."""


class Told(typer.core.TyperGroup):
    """A group of commands whose errors are sentences."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command line, and show the help where that is asked for."""
        with _stopping():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; turn a user's mistake into one sentence."""
        try:
            with _stopping():
                return super().invoke(ctx)
        except Exception as error:
            cause = first_cause(error)
            if os.environ.get("CONTEXTRL_DEBUG") or isinstance(error, BrokenPipeError) or not is_told(cause):
                raise
            typer.secho(sentence(cause, ctx.invoked_subcommand or ""), err=True, fg="red")
            raise typer.Exit(2) from None


@contextmanager
def _stopping() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.secho(f"\n{stopped(sys.argv[1:])}", err=True, fg="yellow")
        raise typer.Exit(130) from None


def first_cause(error: BaseException) -> BaseException:
    """The first error of a group of errors, however deep."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def is_told(error: BaseException) -> bool:
    """Whether the message is meant for a user: an error of one of the rooms, a bad value, the operating system's."""
    return isinstance(error, ValueError | OSError) or type(error).__module__.partition(".")[0] in OURS


def sentence(error: BaseException, command: str = "") -> str:
    """The message on one line; what the operating system said, with the place and what to do about it."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror.lower()}; {remedy(error, command)}"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{said}; when it answers again, the same command goes on" if isinstance(error, EndpointDown) else said


def stopped(arguments: list[str]) -> str:
    """What Ctrl-C says."""
    for command, left in GOES_ON.items():
        if arguments[: len(command)] == list(command):
            return f"Stopped. The same command goes on{left}."
    if arguments[:1] != ["train"]:
        return "Stopped."
    from contextrl.summary import program

    again = shlex.join([*(word for word in arguments if word != "--fresh")])
    return f"Stopped. The same command goes on from the last checkpoint: {program()} {again}"


app = typer.Typer(
    cls=Told,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Reinforcement learning for coding agents, with context awareness.",
)
app.command("train")(train.train)
app.command("report")(train.report)
app.command("study")(study.study)
app.command("view")(view.view)
app.command("replay")(replay.replay)
app.add_typer(repos.repo, name="repo")
app.add_typer(tasks.tasks, name="tasks")
app.command("grade")(grade.grade)
app.command("probe")(probe.probe)
records.traj.command("import")(transfer.import_trajectories)
records.traj.command("export")(transfer.export_trajectories)
records.traj.command("stats")(stats.stats)
records.traj.command("gc")(upkeep.gc)
app.add_typer(records.traj, name="traj")
pairs.pairs.command("mine")(pair_mining.mine)
pairs.pairs.command("audit")(judging.audit)
pairs.pairs.command("export")(pair_transfer.export)
pairs.pairs.command("import")(pair_transfer.import_pairs)
app.add_typer(pairs.pairs, name="pairs")
app.add_typer(export.export, name="export")
app.add_typer(policy.policy, name="policy")
app.add_typer(sandboxes.sandbox, name="sandbox")
app.add_typer(images.image, name="image")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """The `contextrl` command."""
    app()
