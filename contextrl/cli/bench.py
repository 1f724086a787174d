"""`contextrl sandbox bench`: how fast sandboxes are on this machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from sandbox.bench import Crowd, Series


def bench(
    backend: Annotated[str, typer.Option(help="auto, docker, local or remote.")] = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="How often each call is measured.")] = 20,
    boxes: Annotated[int, typer.Option(min=1, help="How many sandboxes step at once.")] = 16,
) -> None:
    """Measure starts, leases, steps, many sandboxes at once, and their memory."""
    from contextrl.progress import open_progress
    from sandbox.bench import measure, sample_image

    async def run(on_progress: show.Update) -> tuple[str, list[Series], Crowd]:
        from sandbox import open_backend

        opened = await open_backend(backend)
        try:
            return opened.name, *await measure(opened, sample_image(), rounds, boxes, on_progress)
        finally:
            await opened.close()

    with open_progress() as progress:
        progress.stage("Measuring sandboxes")
        name, series, crowd = asyncio.run(run(progress.update))
    show.heading(f"{name}, {rounds} times each")
    rows = [(each.name, f"{each.median:.2f}", f"{each.least:.2f}") for each in series]
    show.table(("call", "median ms", "least ms"), rows, "")
    show.heading(f"{crowd.boxes} sandboxes at once")
    resident = "not visible to this user" if crowd.resident_mb is None else f"{crowd.resident_mb:.1f} MiB each"
    show.facts(
        [
            ("all started in", f"{crowd.start_s:.2f} s"),
            ('run("true")', f"{crowd.shell_rate.median:.0f} steps/s in all"),
            ('run(["/bin/true"])', f"{crowd.program_rate.median:.0f} steps/s in all"),
            ("available memory lessened by", f"{crowd.available_mb.median:.1f} MiB each"),
            ("memory of their processes", resident),
        ]
    )
