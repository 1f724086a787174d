"""What a user asks of a probe, and what is opened for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from contextrl.probe.predictions import Orders
from contextrl.probe.selector import SelectorOptions
from contextrl.probe.sets import Wanted
from trajectories.protocol import PairJudge

__all__ = ["ProbeOptions", "SelectorOptions"]


@dataclass(frozen=True)
class ProbeOptions:
    """As `contextrl probe` takes them."""

    models: tuple[str, ...]
    sets: tuple[str, ...]
    out: Path
    store: str
    judgement: Wanted = "valid"
    judge: str = ""
    """Names the judge that looks at the pairs first; empty: none does."""
    tasks: tuple[str, ...] = ()
    """Task sets that know how the bugs were made."""
    limit: int | None = None
    seed: int = 0
    orders: Orders = "both"
    replace: bool = False
    selector: SelectorOptions = field(default_factory=SelectorOptions)

    def open_judge(self) -> PairJudge | None:
        """The judge; what a model answers it is kept in the probe's folder. Raises `ValueError`."""
        from trajectories.judging import judge_from

        if not self.judge:
            return None
        return judge_from(self.judge, cache=self.out / "judge", concurrency=self.selector.concurrency)

    def kinds(self) -> dict[str, str]:
        """Instance id -> how its bug was made. Raises `TaskSetError`."""
        if not self.tasks:
            return {}
        from envs.tasksets.registry import find_taskset

        return {task.instance_id: task.kind for name in self.tasks for task in find_taskset(name) if task.kind}
