"""From two trajectories to judged pairs: the second half of the cascade, for mining online and in bulk.

Invariant: a pair's anchor resolved its task, so its answer is known to be right; what was decided before is not judged
again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trajectories.mining.answers import asked
from trajectories.mining.masking import mask_after_edit
from trajectories.mining.options import MinerOptions
from trajectories.mining.relatedness import LexicalRelatedness, Relatedness
from trajectories.mining.sketches import Sketch
from trajectories.protocol import PairJudge, RightAnswer, Stage, TrajectoryStore
from trajectories.records import ContextPair, Trajectory
from trajectories.storage.pairs import pair_key

FUNNEL = (
    "commit", "file", "function", "distinct", "related", "close", "masked", "asked", "valid", "uncertain", "invalid",
)  # fmt: skip
"""`commit`, `file`, `function`: couples of trajectories that share it (a couple that shares two functions counts
twice). Of the couples looked at: `distinct`, those of two issues, `related`, those of related ones; `close`, those at
the same commit, or at one where the place reads alike; `masked`, those of which both have a masked edit and leak
nothing. `asked`: new pairs put to the judge, each in one direction, then its judgements."""


@dataclass
class Judged:
    """The pairs of one place, or of one new trajectory, as they are judged."""

    new: list[ContextPair] = field(default_factory=list)
    """Judged now."""
    known: int = 0
    """Valid ones that were decided before."""
    found: int = 0
    """Valid ones among the new."""
    seen: set[str] = field(default_factory=set)
    """Keys of all."""

    @property
    def valid(self) -> int:
        """Valid ones in all."""
        return self.known + self.found


class Coupler:
    """Makes pairs of couples, and has them judged."""

    def __init__(
        self,
        store: TrajectoryStore,
        judge: PairJudge,
        options: MinerOptions,
        gold: Mapping[str, str | RightAnswer],
        relatedness: Relatedness | None = None,
    ) -> None:
        self._store, self._judge, self._options = store, judge, options
        self._right = {i: RightAnswer(g) if isinstance(g, str) else g for i, g in gold.items()}
        self._relatedness = relatedness or LexicalRelatedness()

    def learn(self, trajectory: Trajectory) -> None:
        """Keep the right answer of a resolved trajectory, where none is known of its task."""
        if trajectory.resolved and trajectory.answer.strip():
            self._right.setdefault(trajectory.instance_id, RightAnswer(trajectory.answer, trajectory.patch))

    def look_up(self, instance_ids: Iterable[str], run: str) -> None:
        """Read the right answers that the store has to these tasks."""
        unknown = [i for i in instance_ids if i not in self._right]
        if unknown:
            self._right |= self._store.right_answers(unknown, None if self._options.across_runs else run)

    def related(self, new: Sketch, partners: Sequence[Sketch], funnel: Counter[str]) -> list[Sketch]:
        """Those partners whose issue is another, but a related one."""
        distinct = [p for p in partners if not self._same_issue(new, p)]
        scores = self._relatedness.scores(new.issue, [p.issue for p in distinct]) if distinct else []
        related = [p for p, s in zip(distinct, scores, strict=True) if s >= self._options.min_relatedness]
        funnel.update({"distinct": len(distinct), "related": len(related)})
        return related

    def usable(self, new: Sketch, partners: Sequence[Sketch], stage: Stage, funnel: Counter[str]) -> list[Sketch]:
        """Those partners that go on: at a close commit, well masked."""
        close = [p for p in partners if self._close(new, p, stage)]
        masked = [p for p in close if not p.fault and not new.fault]
        funnel.update({"close": len(close), "masked": len(masked)})
        return masked

    def _close(self, a: Sketch, b: Sketch, stage: Stage) -> bool:
        if a.place.deepest(b.place, self._options.function) != stage:
            return False
        same = a.trajectory.base_commit == b.trajectory.base_commit != ""
        if same or self._options.commit == "any":
            return True
        return self._options.commit == "window" and a.reads_alike(b) >= self._options.min_source_likeness

    def _same_issue(self, a: Sketch, b: Sketch) -> bool:
        if a.trajectory.instance_id == b.trajectory.instance_id:
            return True
        return self._options.distinct_statements and a.issue.same(b.issue)

    def couple(self, new: Sketch, partner: Sketch, stage: Stage, run: str) -> list[ContextPair]:
        """A pair for each direction in which the anchor resolved its task."""
        return [
            self._pair(anchor, confounder, stage, run, new.trajectory.created_at)
            for anchor, confounder in ((new, partner), (partner, new))
            if anchor.trajectory.resolved and anchor.trajectory.answer.strip()
        ]

    def _pair(self, anchor: Sketch, confounder: Sketch, stage: Stage, run: str, created_at: float) -> ContextPair:
        a, c = anchor.trajectory, confounder.trajectory
        function = _first_shared(a.functions, c.functions)
        about = asked(self._known(a), self._known(c))
        lines = [*about.answer.splitlines(), *about.replaced.splitlines()] if about.replaced else []
        return ContextPair(
            run=run,
            repo=a.repo,
            base_commit=a.base_commit,
            file=function.partition("::")[0] or _first_shared(a.files, c.files),
            function=function,
            answer=about.answer,
            replaced=about.replaced,
            confounder_answer=about.confounder_answer,
            anchor=mask_after_edit(anchor.context, lines),
            confounder=mask_after_edit(confounder.context, lines),
            stage=stage,
            similarity=anchor.similarity(confounder),
            created_at=created_at,
        )

    def _known(self, trajectory: Trajectory) -> list[RightAnswer]:
        """Right answers to a trajectory's task, its own first."""
        own = [RightAnswer(trajectory.answer, trajectory.patch)] if trajectory.resolved else []
        first = [self._right[i] for i in [trajectory.instance_id] if i in self._right]
        return [right for right in dict.fromkeys(own + first) if right.answer.strip()]

    def judge(self, couples: Iterable[list[ContextPair]], judged: Judged, funnel: Counter[str], most: int) -> bool:
        """Judge couple by couple until `most` pairs are valid, those decided before included: whether that is so."""
        keyed = [[(pair_key(pair), pair) for pair in couple] for couple in couples]
        before = self._store.judgements([key for couple in keyed for key, _ in couple])
        for couple in keyed:
            for key, pair in couple:
                if key in judged.seen:
                    continue
                judged.seen.add(key)
                known = before.get(key, "uncertain")
                judged.known += known == "valid"
                if known != "uncertain":
                    continue
                judgement, reasons = self._judge.judge(pair)
                judged.new.append(pair.model_copy(update={"id": key[:32], "judgement": judgement, "reasons": reasons}))
                judged.found += judgement == "valid"
                funnel.subtract(("asked", "uncertain") if key in before else ())
                funnel.update(("asked", judgement))
            if judged.valid >= most:
                return True
        return False


def _first_shared(own: list[str], others: list[str]) -> str:
    """The first that both have, else the first of the own ones, else nothing."""
    return next((name for name in own if name in others), own[0] if own else "")
