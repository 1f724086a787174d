"""The runs of a study, one after the other.

Invariant: what is finished is not run again, and what was interrupted goes on; a run that fails keeps no other from
being run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence

from contextrl.preflight import check_space
from contextrl.progress import Progress, duration, rate
from contextrl.report import read_report
from contextrl.study.plan import Plan, Planned
from contextrl.study.sharing import share_before


class Among:
    """The progress of one run among others: its stages say which it is."""

    def __init__(self, progress: Progress, place: str, left: float | None) -> None:
        """`left`: seconds until all runs are through, as far as anybody can tell."""
        self._progress, self._place = progress, place
        self._end = None if left is None else time.monotonic() + left

    def stage(self, name: str) -> None:
        """See `Progress`."""
        left = "" if self._end is None else f", {duration(max(0.0, self._end - time.monotonic()))} left"
        self._progress.stage(f"[{self._place}{left}] {name}")

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """See `Progress`."""
        self._progress.update(done, total, text)

    def log(self, text: str) -> None:
        """See `Progress`."""
        self._progress.log(text)


def play(plan: Plan, progress: Progress, tell: Callable[[Exception], str]) -> dict[str, str]:
    """Run what is not finished; the names of runs that failed, and why. `tell`: an error as one sentence."""
    from contextrl.loop import train

    failed: dict[str, str] = {}
    seconds = {(run.arm, run.seed): _seconds(run) for run in plan.runs if run.finished}
    if seconds:
        progress.log(f"{len(seconds)} of {len(plan.runs)} runs are finished already")
    for number, run in enumerate(plan.runs, 1):
        if run.finished:
            continue
        name = run.recipe.name
        left = _left(plan.runs[number - 1 :], seconds)
        pace = "" if left is None else f", {rate(sum(seconds.values()) / len(seconds))}, {duration(left)} left"
        progress.log(f"{name}: run {number} of {len(plan.runs)}{pace}")
        try:
            check_space(run.recipe)
            share_before(run, plan.runs)
            train(run.recipe, progress=Among(progress, f"{number}/{len(plan.runs)}", left))
            seconds[run.arm, run.seed] = _seconds(run)
        except Exception as error:
            failed[name] = tell(error)
            progress.log(f"{name} failed: {failed[name]}")
        gc.collect()  # the last run's policy, before the next one's is loaded
    return failed


def _seconds(run: Planned) -> float:
    return float(read_report(run.recipe.run_dir).get("wall_seconds") or 0.0)


def _left(runs: Sequence[Planned], seconds: Mapping[tuple[str, int], float]) -> float | None:
    """Seconds that those of the runs will take which are not finished: what their arms' took on average, else all."""
    if not seconds:
        return None
    of_arm: dict[str, list[float]] = {}
    for (arm, _), took in seconds.items():
        of_arm.setdefault(arm, []).append(took)
    whole = list(seconds.values())
    alike = [of_arm.get(run.arm, whole) for run in runs if not run.finished]
    return sum(sum(each) / len(each) for each in alike)
