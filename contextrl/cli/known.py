"""Names as a user writes them, against those that a store knows.

Invariant: a name that the store does not know is never taken for one that matches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from trajectories.store import SQLStore

_SOME = 5
Kind = Literal["run", "repository", "set", "repository with pairs"]


class Unknown(ValueError):
    """No such name is in the store; the message names near ones."""


def check(store: SQLStore, kind: Kind, name: str | None) -> None:
    """Raises `Unknown` where a name is given and the store has nothing of that name."""
    from trajectories.storage.upkeep import Upkeep

    if name is None:
        return
    there = Upkeep(store).names(kind)
    if name not in there:
        called = {"set": "run or set", "repository with pairs": "repository"}.get(kind, kind)
        raise Unknown(f"there is no {called} {name!r} in {store.where}; {_near(name, there)}")


def _near(name: str, there: Sequence[str]) -> str:
    """The names that are most like one, else the newest."""
    if not there:
        return "nothing like it is there"
    folded = {n.casefold(): n for n in there}
    near = [folded[n] for n in get_close_matches(name.casefold(), folded, _SOME, 0.6)] or list(reversed(there))[:_SOME]
    more = f" and {len(there) - len(near)} more" if len(there) > len(near) else ""
    return f"there: {', '.join(n or '(without a name)' for n in near)}{more}"


def full_commit(store: SQLStore, start: str | None) -> str | None:
    """The one base commit that starts so. Raises `Unknown`, `ValueError`."""
    from trajectories.storage.upkeep import Upkeep

    if start is None:
        return None
    found = Upkeep(store).commits(start)
    if start in found:
        return start
    if not found:
        raise Unknown(f"there is no trajectory at a base commit that starts with {start!r} in {store.where}")
    if len(found) > 1:
        raise ValueError(f"{len(found)} base commits start with {start!r} ({_some(found)}): give more of one")
    return found[0]


def full_name(store: SQLStore, stage: Literal["file", "function"], name: str | None, repo: str | None) -> str | None:
    """The full name of what trajectories touch; said where it is longer. Raises `Unknown`, `ValueError`."""
    from trajectories.storage.upkeep import Upkeep

    if name is None:
        return None
    found = Upkeep(store).called(stage, name, repo)
    if not found:
        where = f" of {repo}" if repo else ""
        raise Unknown(f"no trajectory touches a {stage}{where} called {name!r}; `contextrl traj ls --json` has all")
    return only(stage, name, found)


def full_question(store: SQLStore, function: str | None, repo: str | None) -> str | None:
    """The full name of a function that pairs ask about; said where it is longer. Raises `Unknown`, `ValueError`."""
    from trajectories.storage.upkeep import Upkeep

    if function is None:
        return None
    found = Upkeep(store).asked_about(function, repo)
    if not found:
        where = f" of {repo}" if repo else ""
        raise Unknown(f"no pair asks about a function{where} called {function!r}; `contextrl pairs ls --json` has all")
    return only("function", function, found)


def only(stage: Literal["file", "function"], name: str, found: Sequence[str]) -> str:
    """The one full name that was found; said where it is longer. Raises `ValueError` where there are several."""
    if len(found) > 1:
        raise ValueError(f"{name!r} is the end of {len(found)} names ({_some(found)}): give more of one, or --repo")
    if found[0] != name:
        typer.echo(f"{stage}: {show.plain(found[0])}", err=True)
    return found[0]


def only_id(store: SQLStore, what: Literal["trajectories", "pairs"], start: str, lister: str) -> str:
    """The one id that starts so. Raises `ValueError`. `lister`: the command that lists them."""
    most = 10
    found = store.find_ids(start, what, limit=most)
    if start in found or len(found) == 1:
        return start if start in found else found[0]
    count = f"{most} ids or more start" if len(found) == most else f"{len(found)} ids start"
    problem = f"{count} with" if found else "there is no id that starts with"
    raise ValueError(f"{problem} {start!r}; `{lister}` lists them")


def _some(found: Sequence[str]) -> str:
    return ", ".join(found[:_SOME]) + (f" and {len(found) - _SOME} more" if len(found) > _SOME else "")
