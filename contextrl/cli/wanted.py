"""Which trajectories a command is about: the options that `traj ls|export|stats|gc` share.

Invariant: each of them is defined here, once. A run, repository, commit, file or function that the store does not know
is an error that names near ones; what merely matches nothing is told by the options that were given (`Wanted.said`).
"""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from contextrl.cli import known, show
from contextrl.cli.moments import moment

if TYPE_CHECKING:
    from trajectories.queries import Filters
    from trajectories.store import SQLStore

MOST = 2**31 - 1
"""The largest number that a store holds, and more than a list can show."""
_SWITCHES = {
    "resolved": "--resolved/--failed",
    "graded": "--graded/--ungraded",
    "filtered": "--filtered/--used",
}


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line; None where nothing was."""

    run: Annotated[str | None, typer.Option(help="Only this run.")] = None
    repo: Annotated[str | None, typer.Option(help="Only this repository.")] = None
    base_commit: Annotated[str | None, typer.Option(help="Only at this base commit, or how that starts.")] = None
    task: Annotated[str | None, typer.Option(help="Only this task instance.")] = None
    file: Annotated[str | None, typer.Option(help="Only what touches this file: its path, or how that ends.")] = None
    function: Annotated[
        str | None, typer.Option(help="Only what touches this function or class: path::name, or how that ends.")
    ] = None
    resolved: Annotated[bool | None, typer.Option(_SWITCHES["resolved"], help="Only those that were judged so.")] = None
    graded: Annotated[
        bool | None, typer.Option(_SWITCHES["graded"], help="Only those that were judged at all, or were not.")
    ] = None
    policy_version: Annotated[
        int | None, typer.Option(min=-MOST, max=MOST, help="Only of this version of the policy.")
    ] = None
    iteration: Annotated[int | None, typer.Option(min=-MOST, max=MOST, help="Only of this iteration.")] = None
    group: Annotated[str | None, typer.Option(help="Only of this group.")] = None
    status: Annotated[
        Literal["submitted", "truncated", "infra_error"] | None, typer.Option(help="Only those that ended so.")
    ] = None
    agent: Annotated[str | None, typer.Option(help="Only by this agent.")] = None
    filtered: Annotated[
        bool | None,
        typer.Option(_SWITCHES["filtered"], help="Only those not learned from for a reason; or the others."),
    ] = None
    min_reward: Annotated[float | None, typer.Option(help="Only with at least this reward.")] = None
    max_reward: Annotated[float | None, typer.Option(help="Only with at most this reward.")] = None
    since: Annotated[str | None, typer.Option(help="Only begun since: 2h, 30d, 2026-01-31.")] = None

    def filters(self, store: SQLStore) -> Filters:
        """For the store's methods. Raises `known.Unknown` for a name that is not there, `ValueError` for a bad time."""
        given = asdict(self)
        filters: Any = {("instance_id" if name == "task" else name): value for name, value in given.items()}
        filters["since"] = None if self.since is None else moment(self.since)
        known.check(store, "run", self.run)
        known.check(store, "repository", self.repo)
        filters["base_commit"] = known.full_commit(store, self.base_commit)
        for stage in ("file", "function"):
            filters[stage] = known.full_name(store, stage, given[stage], self.repo)
        found: Filters = filters
        return found

    def said(self) -> str:
        """What was asked for, as it is written on a command line; empty if nothing was."""
        return as_options(asdict(self), _SWITCHES)

    def nothing(self) -> str:
        """What to say where no trajectory is found."""
        if said := self.said():
            return f"No trajectory passes {said}."
        return "The store is empty: `contextrl train` and `contextrl traj import` fill it."


def as_options(given: Mapping[str, Any], switches: Mapping[str, str]) -> str:
    """What was given, as it is written on a command line. `switches`: name -> `--yes/--no`."""
    words = []
    for name, value in given.items():
        if isinstance(value, bool):
            words.append(switches[name].split("/")[not value])
        elif value is not None:
            words += [f"--{name.replace('_', '-')}", shlex.quote(str(value))]
    return show.plain(" ".join(words))


def about_trajectories(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `Wanted`, which it gets as its first argument."""
    hints, shared = get_type_hints(command, include_extras=True), get_type_hints(Wanted, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [inspect.Parameter(n, keyword, default=None, annotation=hint) for n, hint in shared.items()]
    options += [p.replace(kind=keyword, annotation=hints[p.name]) for p in own]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        command(Wanted(**{name: given.pop(name) for name in shared}), **given)

    vars(with_options)["__signature__"] = inspect.Signature(options)
    with_options.__annotations__ = {option.name: option.annotation for option in options}
    return with_options
