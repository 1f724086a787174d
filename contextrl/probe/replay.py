"""Recorded predictions in place of a model.

Invariant: a recorded prediction stands only for the very text that it was made of; a file that lacks one is refused
before anything is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from contextrl.probe.journal import read_predictions
from contextrl.probe.predictions import Prediction, Question
from contextrl.probe.selector import Choice, ProbeError


class ReplaySelector:
    """`replay:FILE`, or `replay:FILE#MODEL` where the file holds several models."""

    def __init__(self, spec: str) -> None:
        file, _, model = spec.removeprefix("replay:").partition("#")
        self._file = Path(file).expanduser()
        if not self._file.is_file():
            raise ProbeError(f"--model {spec}: there is no file {file}")
        recorded = read_predictions(self._file)
        models = list(dict.fromkeys(p.model for p in recorded))
        if not recorded:
            raise ProbeError(f"{file} holds no predictions")
        if model and model not in models:
            raise ProbeError(f"{file} holds no predictions of {model}; it has {', '.join(models)}")
        if not model and len(models) > 1:
            raise ProbeError(f"{file} holds {len(models)} models: add #MODEL, one of {', '.join(models)}")
        self._model = model or models[0]
        self.name = f"{self._model} (replayed)"
        self._known = {(p.pair, p.anchor_first): p for p in recorded if p.model == self._model}

    def answer(self, questions: Sequence[Question]) -> Iterator[Choice]:
        """What was recorded."""
        absent = [q for q in questions if (q.pair.id, q.anchor_first) not in self._known]
        if absent:
            raise ProbeError(
                f"{self._file} lacks {len(absent)} of {len(questions)} predictions of {self._model}, the first is of "
                f"pair {absent[0].pair.id} with the anchor as {'A' if absent[0].anchor_first else 'B'}: finish that "
                "probe, or choose the pairs that it was made of"
            )
        for question in questions:
            yield _choice(question, self._known[question.pair.id, question.anchor_first], self._file)

    def close(self) -> None:
        """Nothing is held."""


def _choice(question: Question, known: Prediction, file: Path) -> Choice:
    if known.question != question.digest:
        raise ProbeError(
            f"{file}: pair {known.pair} reads otherwise than when this was predicted; probe the model again"
        )
    return Choice(question, known.margin, known.letter, known.text, known.left_out, known.cut)
