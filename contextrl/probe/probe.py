"""A probe from its options to its results.

Invariant: all that a user can have got wrong (sets, models, the folder) is told before the first question is put where
that needs no model; every answer is on disk when it is counted, so that the same command goes on from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime

from contextrl.probe import journal
from contextrl.probe.journal import Asked, Folder, open_folder
from contextrl.probe.options import ProbeOptions
from contextrl.probe.plot import plot
from contextrl.probe.predictions import Prediction, Question, questions
from contextrl.probe.result import Result, SetResult
from contextrl.probe.score import Scored, function_of
from contextrl.probe.selector import (
    Choice,
    ProbeError,
    Selector,
    SelectorOptions,
    find_factory,
    identity,
    open_selector,
)
from contextrl.probe.sets import PairSet, chosen, judged, load_set
from contextrl.progress import Progress
from contextrl.versions import versions
from trajectories.protocol import PairJudge

Open = Callable[[str, SelectorOptions], Selector]


def probe(options: ProbeOptions, progress: Progress, open_: Open = open_selector) -> Result:
    """Put every pair to every model, and write `probe.json` and the plot. Raises `ValueError`s."""
    for given, option in ((options.models, "--model"), (options.sets, "--pairs")):
        if len(set(given)) < len(given):
            raise ProbeError(f"{option} {max(given, key=given.count)} is given twice")
    for model in options.models:
        find_factory(model)
    kinds, judge = options.kinds(), options.open_judge()
    sets = [_ready(name, options, judge, progress) for name in options.sets]
    asked = {one.name: questions(one.pairs, options.orders, options.seed) for one in sets}
    distinct = _distinct(asked)
    with open_folder(options.out, _asked(options, asked), replace=options.replace) as folder:
        names = [_put(model, options, distinct, folder, progress, open_) for model in options.models]
        if len(set(names)) < len(names):
            raise ProbeError(f"two models are called {max(names, key=names.count)}: probe them into two folders")
        result = _score(options, names, sets, asked, folder, kinds)
        folder.write(journal.RESULT, result.model_dump_json(indent=1) + "\n")
        folder.write(journal.PLOT, plot(result))
    return result


def _ready(name: str, options: ProbeOptions, judge: PairJudge | None, progress: Progress) -> PairSet:
    progress.stage(f"Reading pairs: {name}")
    found = chosen(load_set(name, options.store, progress), options.judgement, options.limit, options.seed)
    if judge is None:
        return found
    progress.stage(f"Judging pairs: {name}")
    return judged(found, judge, options.judge, progress.update)


def _asked(options: ProbeOptions, asked: Mapping[str, Sequence[Question]]) -> Asked:
    digests = {name: "".join(sorted(q.digest for q in some)) for name, some in asked.items()}
    how = options.selector
    return Asked(
        models={model: hashlib.sha256(identity(model).encode()).hexdigest()[:16] for model in options.models},
        sets={name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in digests.items()},
        orders=options.orders,
        seed=options.seed,
        max_tokens=how.max_tokens,
        cut=how.cut,
        reply_tokens=how.reply_tokens,
        dtype=how.dtype,
    )


def _distinct(asked: Mapping[str, Sequence[Question]]) -> list[Question]:
    """Each question once, in however many sets it is."""
    found: dict[tuple[str, bool], Question] = {}
    for question in (q for some in asked.values() for q in some):
        if found.setdefault((question.pair.id, question.anchor_first), question).digest != question.digest:
            raise ProbeError(f"pair {question.pair.id} reads otherwise in two of the sets: probe them into two folders")
    return list(found.values())


def _put(
    model: str,
    options: ProbeOptions,
    distinct: Sequence[Question],
    folder: Folder,
    progress: Progress,
    open_: Open,
) -> str:
    """Put to a model what it was not asked before; the name of its predictions."""
    if all(_is_known(folder, model, q) for q in distinct):
        progress.log(f"{model}: all {len(distinct)} predictions are there already")
        return model
    progress.stage(f"Loading {model}")
    with closing(open_(model, options.selector)) as selector:
        name = selector.name
        left = [q for q in distinct if not _is_known(folder, name, q)]
        done = len(distinct) - len(left)
        progress.stage(f"Probing {name}")
        progress.update(done, len(distinct))
        try:
            for choice in selector.answer(left):
                folder.keep(_prediction(name, choice))
                done += 1
                progress.update(done, len(distinct))
        except ValueError as error:
            if not done:
                raise
            kept = f"{done} of {len(distinct)} answers are kept, and the same command goes on with the rest"
            raise ProbeError(f"{str(error).rstrip('.')}; {kept}") from error
    return name


def _is_known(folder: Folder, model: str, question: Question) -> bool:
    known = folder.known.get((model, question.pair.id, question.anchor_first))
    return known is not None and known.question == question.digest


def _prediction(model: str, choice: Choice) -> Prediction:
    question = choice.question
    return Prediction(
        model=model,
        pair=question.pair.id,
        anchor_first=question.anchor_first,
        question=question.digest,
        margin=choice.margin,
        letter=choice.letter,
        text=choice.text,
        left_out=choice.left_out,
        cut=choice.cut,
    )


def _score(
    options: ProbeOptions,
    models: Sequence[str],
    sets: Sequence[PairSet],
    asked: Mapping[str, Sequence[Question]],
    folder: Folder,
    kinds: Mapping[str, str],
) -> Result:
    results, differences = [], []
    for one in sets:
        scored = []
        for model in models:
            predictions = [folder.known[model, q.pair.id, q.anchor_first] for q in asked[one.name]]
            mine = Scored(model, one.name, one.pairs, predictions)
            if not mine.pairs:
                reason, count = mine.left_out.most_common(1)[0]
                raise ProbeError(f"{model} answers no pair of {one.name}: {count} of {len(one.pairs)} are {reason}")
            scored.append(mine)
        results += [mine.result(kinds) for mine in scored]
        differences += [found for mine in scored[1:] if (found := mine.minus(scored[0]))]
    return Result(
        asked=_asked(options, asked),
        judge=options.judge,
        sets=[_set_result(one) for one in sets],
        results=results,
        differences=differences,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )


def _set_result(one: PairSet) -> SetResult:
    functions = len({function_of(pair) for pair in one.pairs})
    return SetResult(name=one.name, pairs=len(one.pairs), functions=functions, left_out=dict(one.left_out))
