"""What the rules say to pairs of real runs: how many they let pass, and what they object to.

    python -m benchmarks.judged_runs FOLDER

FOLDER has trajectories of one agent, in any format that `contextrl traj import` reads; `neighbours.json` there lists
instances that touch one function. Every run with a patch is masked, cut at its first edit and whole, and paired with
those of its repository in both directions, as if the patches were right.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

from trajectories.formats import recognise
from trajectories.judge import RuleJudge
from trajectories.mining.answers import asked, repair
from trajectories.mining.masking import mask_trajectory
from trajectories.protocol import RightAnswer
from trajectories.records import ContextPair, MaskedContext, Trajectory


def runs(folder: Path) -> list[Trajectory]:
    """The trajectories with a patch that adds something."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name != "neighbours.json" and path.is_file() and (reader := recognise(path)):
            found += [t for t in reader.read(path) if repair(t.patch)]
    return found


def pair_up(
    trajectories: list[Trajectory], *, whole: bool, couples: set[frozenset[str]] | None = None
) -> Iterator[ContextPair]:
    """All pairs of one repository, or those couples of instances only."""
    contexts = {t.id: mask_trajectory(t, keep_after_edit=whole) for t in trajectories}
    for a, c in permutations(trajectories, 2):
        named = frozenset((a.instance_id, c.instance_id))
        if len(named) == 2 and a.repo == c.repo and (couples is None or named in couples):
            yield _pair(a, c, contexts)


def _pair(a: Trajectory, c: Trajectory, contexts: dict[str, MaskedContext]) -> ContextPair:
    answers = [RightAnswer(t.answer or repair(t.patch), t.patch) for t in (a, c)]
    answer, other, _ = asked(answers[:1], answers[1:])
    return ContextPair(
        repo=a.repo,
        base_commit=a.base_commit,
        file=next(iter(a.files), ""),
        function=next(iter(a.functions), ""),
        answer=answer,
        confounder_answer=other,
        anchor=contexts[a.id],
        confounder=contexts[c.id],
        similarity=0.5,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    found = runs(folder)
    listed = folder / "neighbours.json"
    near = {frozenset((n["a"], n["b"])) for n in json.loads(listed.read_text())} if listed.is_file() else set()
    print(f"{len(found)} runs with a patch")
    for name, couples in (("neighbours", near), ("same repository", None)):
        for whole in (False, True):
            judged: Counter[str] = Counter()
            rules: Counter[str] = Counter()
            for pair in pair_up(found, whole=whole, couples=couples):
                judgement, reasons = RuleJudge().judge(pair)
                judged[judgement] += 1
                rules.update(reason.partition(":")[0] for reason in reasons)
            form = "whole" if whole else "cut at the edit"
            objections = ", ".join(f"{rule} {n}" for rule, n in rules.most_common())
            shares = ", ".join(f"{judged[j]} {j}" for j in ("valid", "uncertain", "invalid"))
            print(f"{name}, {form}: {judged.total()} pairs: {shares} ({objections})")


if __name__ == "__main__":
    main()
