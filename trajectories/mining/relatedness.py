"""How related two issues are: what they are about, in words, in names of code, in the tests that fail.

Invariant: scores lie in [0, 1], are symmetric, and depend only on the two issues and on the corpus that was given at
first: no index is kept, so a resumed run scores as one that was never stopped.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
_NAME = re.compile(
    r"\b(?:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|\w*[^\W_]_\w+|_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z0-9]+[A-Z]\w*)\b|`([^`\s]+)`"
)
"""What reads like a name of code: dotted, with an underscore, in camel case, or between backticks."""

# fmt: off
_COMMON = frozenset((
    "a", "all", "also", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "do", "does", "for", "from",
    "get", "has", "have", "how", "i", "if", "in", "is", "it", "its", "just", "like", "make", "no", "not", "of", "on",
    "one", "or", "out", "should", "so", "some", "than", "that", "the", "their", "then", "there", "they", "this", "to",
    "up", "use", "was", "we", "what", "when", "which", "will", "with", "would", "you",
))
"""Words that stand in every text."""
# fmt: on


@dataclass(frozen=True)
class Issue:
    """A problem statement, and the tests that show the problem where they are known."""

    text: str
    tests: tuple[str, ...] = ()

    @cached_property
    def words(self) -> Counter[str]:
        """Its words in lower case."""
        return Counter(_WORD.findall(self.text.lower()))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of code in it."""
        return frozenset(found[1] or found[0] for found in _NAME.finditer(self.text))

    def same(self, other: Issue) -> bool:
        """Whether both say the same, white space apart."""
        return self.text.split() == other.text.split()


class Relatedness(Protocol):
    """Scores issues against one."""

    def scores(self, own: Issue, others: Sequence[Issue]) -> list[float]:
        """A score in [0, 1] for each of the others."""


class LexicalRelatedness:
    """Cosine of TF-IDF vectors of the words; names of code and failing tests that both have, where both have any.

    Document frequencies are those of `corpus`. Without one all words weigh the same, but for the commonest.
    """

    def __init__(self, corpus: Iterable[str] = ()) -> None:
        self._found_in: Counter[str] = Counter()
        self._documents = 0
        for text in corpus:
            self._found_in.update(Issue(text).words.keys())
            self._documents += 1

    def scores(self, own: Issue, others: Sequence[Issue]) -> list[float]:
        """See `Relatedness.scores`."""
        mine = self._vector(own)
        return [self._score(own, other, _cosine(mine, self._vector(other))) for other in others]

    def _vector(self, issue: Issue) -> dict[str, float]:
        return {word: (1 + math.log(n)) * self._weight(word) for word, n in issue.words.items()}

    def _weight(self, word: str) -> float:
        if not self._documents:
            return 0.0 if word in _COMMON else 1.0
        n = self._found_in[word]
        return math.log(1 + (self._documents - n + 0.5) / (n + 0.5)) if n <= self._documents else 0.0

    def _score(self, own: Issue, other: Issue, cosine: float) -> float:
        parts = [(2.0, cosine)]
        parts += [(1.0, _jaccard(own.names, other.names))] if own.names and other.names else []
        tests = frozenset(own.tests), frozenset(other.tests)
        parts += [(1.0, _jaccard(*tests))] if all(tests) else []
        return sum(weight * score for weight, score in parts) / sum(weight for weight, _ in parts)


class EmbeddingRelatedness:
    """Cosine of vectors that a model gives to the texts, negative ones counted as 0. Each text is asked for once."""

    def __init__(self, embed: Callable[[list[str]], Sequence[Sequence[float]]]) -> None:
        self._embed = embed
        self._known: dict[str, Sequence[float]] = {}

    def scores(self, own: Issue, others: Sequence[Issue]) -> list[float]:
        """See `Relatedness.scores`."""
        new = [t for t in dict.fromkeys(issue.text for issue in (own, *others)) if t not in self._known]
        if new:
            self._known |= dict(zip(new, self._embed(new), strict=True))
        mine = self._known[own.text]
        return [max(0.0, _angle(mine, self._known[other.text])) for other in others]


def _cosine(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    dot = sum(value * b[word] for word, value in a.items() if word in b)
    norm = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    return min(1.0, dot / norm) if norm else 0.0


def _angle(a: Sequence[float], b: Sequence[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    norm = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return min(1.0, dot / norm) if norm else 0.0


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / max(len(a | b), 1)
