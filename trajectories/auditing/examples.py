"""What a classifier that beats chance went by, in words that a person can check.

Invariant: examples are drawn from a model of all pairs; they explain an accuracy and never measure one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trajectories.auditing.classifiers import Classifier, Side, place
from trajectories.auditing.readings import words
from trajectories.auditing.selection import Matrix, weights_of

_MANY = 3
_NO_WORDS = {0: "the answer's words in the issue", 1: "a long issue"}
"""Places of `issue only` that are no words."""


def examples(
    classifier: Classifier, sides: Sequence[tuple[Side, Side]], differences: Matrix, right: NDArray[np.float64]
) -> tuple[str, ...]:
    """The words that it went by, or the pairs of which it was surest and right. All of the pairs that it knows."""
    weights = weights_of(differences, hashed=classifier.hashed)
    if classifier.hashed:
        return _telling_words(weights, differences, sides)
    margins = differences @ weights
    surest = [i for i in np.argsort(-margins, kind="stable") if right[i] == 1.0][:_MANY]
    pairs = [sides[i][0].pair for i in surest]
    return tuple(f"pair {pair.id[:8]}: {pair.anchor.instance_id} in {pair.function}" for pair in pairs)


def _telling_words(
    weights: NDArray[np.float64], differences: Matrix, sides: Sequence[tuple[Side, Side]]
) -> tuple[str, ...]:
    """The words at the places with most weight, and where they stand more often."""
    worth = np.abs(weights) * np.abs(differences).mean(axis=0)
    best = [int(i) for i in np.argsort(-worth, kind="stable")[:_MANY] if worth[i] > 0]
    named: dict[int, Counter[str]] = {i: Counter() for i in best}
    for one in (s for pair in sides for s in pair):
        texts = (one.read.said, one.read.shown, words(one.context.problem_statement))
        for word in {w for text in texts for w in text}:
            if place(word) in named:
                named[place(word)][word] += 1
    said = {i: _NO_WORDS.get(i) or repr(named[i].most_common(1)[0][0]) for i in best if i in _NO_WORDS or named[i]}
    return tuple(f"{what} speaks for the {'anchor' if weights[i] > 0 else 'confounder'}" for i, what in said.items())
