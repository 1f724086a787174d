"""`contextrl replay --interactive`: a replay step by step, at a terminal or from a pipe.

Invariant: a key does one thing; what the sandbox or a policy wrote cannot move the cursor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from trajectories.replay.replaying import Replay
    from trajectories.replay.report import ReplayStep
    from trajectories.store import SQLStore

KEYS = """\
Enter, n   the next step            d   what differs in the repository now
NUMBER     go on to that step       o   the recorded output and the new one, whole
c          go on to the end         s   a shell in the sandbox
q          leave                    f   fork here, and go on by hand
h          this"""


class Stepper:
    """Walks through a replay as it is told."""

    def __init__(self, running: Replay, store: SQLStore, anyway: bool) -> None:
        """`anyway`: fork also after a divergence."""
        self._replay, self._store, self._anyway = running, store, anyway

    def walk(self) -> None:
        """Until the last step is done and left, or it is left before."""
        turns = len(self._replay.trajectory.turns)
        typer.echo(f"{turns} steps; `h` lists the keys")
        keys: dict[str, Callable[[], None]] = {"d": self._diff, "o": self._outputs, "s": self._shell, "h": self._help}
        while True:
            try:
                said = input(f"{self._replay.done}/{turns}> ").strip().lower()
            except (EOFError, KeyboardInterrupt):
                typer.echo()
                return
            if said in ("q", "quit"):
                return
            if said in ("f", "fork"):
                if self._fork():
                    return
            elif said in ("", "n", "c") or said.isdecimal():
                self._go(turns if said == "c" else int(said) if said.isdecimal() else self._replay.done + 1)
            elif said in keys:
                keys[said]()
            else:
                typer.echo("there is no such key; `h` lists them")

    def _go(self, to: int) -> None:
        from sandbox.loop import run_sync

        turns = len(self._replay.trajectory.turns)
        if to > turns or self._replay.turn is None:
            typer.echo(f"there are {turns} steps" if to > turns and self._replay.turn else "all steps are done")
            return
        if to <= self._replay.done:
            typer.echo(f"step {to} is done; a replay goes on only")
            return
        run_sync(self._replay.run(to=to, on_step=lambda done, of, step: self._tell(step)))

    def _tell(self, step: ReplayStep) -> None:
        from rich.console import Console

        from trajectories.replay.showing import divergence_panel, step_line

        console = Console()
        console.print(step_line(step))
        if not step.same:
            console.print(divergence_panel(step))

    def _help(self) -> None:
        typer.echo(KEYS)

    def _diff(self) -> None:
        step = self._last()
        if step is not None and step.diff:
            show.diff(step.diff)
        elif step is not None:
            typer.echo("nothing differs from what the agent was given")

    def _outputs(self) -> None:
        step = self._last()
        if step is None:
            return
        show.heading("recorded")
        show.block(step.expected)
        show.heading("now")
        show.block(step.got)

    def _last(self) -> ReplayStep | None:
        if not self._replay.steps:
            typer.echo("no step is done yet")
            return None
        return self._replay.steps[-1]

    def _shell(self) -> None:
        from contextrl.cli.shell import Terminal

        if self._replay.stage.sandbox is None:
            typer.echo("the episode is over, and its sandbox is gone")
            return
        typer.echo("What is changed here is compared like the episode's own work; Ctrl-D or `exit` leads back.")
        Terminal(self._replay.stage.sandbox).talk()
        self._replay.stage.disturbed()

    def _fork(self) -> bool:
        from contextrl.cli.forks import handed_over
        from contextrl.forking import ForkError
        from contextrl.human import HumanSuccessor

        try:
            handed_over(self._replay, HumanSuccessor(), self._store, self._anyway)
        except ForkError as error:
            typer.echo(str(error))
            return False
        return True
