"""What the making of a task set has found out so far, on disk.

Invariant: a verdict, or a model's answer, that was told is in the file before anything else happens, in one line,
written at once; a line that a killed process left unfinished is cut off when the file is opened again. Reading gives
back exactly what was written.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from envs.synthesis.llm.client import Usage
from envs.synthesis.staged import Baseline
from envs.synthesis.validate import Validation
from envs.testing.runner import Failure


class Journal:
    """The verdicts on candidates, by their ids, what all tests do without a bug, and what a model has answered.

    Without a path: in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.verdicts: dict[str, Validation] = {}
        self.baseline: Baseline | None = None
        self.answers: dict[str, Any] = {}
        """By question: what came of the answer, as JSON has it."""
        self.usage = Usage()
        """What was asked of a model so far, by interrupted runs too."""
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._read(path)
            self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, candidate: str, verdict: Validation) -> None:
        """The verdict on a candidate is known."""
        self.verdicts[candidate] = verdict
        self._write({"candidate": candidate, "verdict": asdict(verdict)})

    def set_baseline(self, baseline: Baseline) -> None:
        """What all tests do without a bug is known."""
        self.baseline = baseline
        self._write({"baseline": asdict(baseline)})

    def answer(self, question: str, answer: Any) -> None:
        """A question is answered; by a model, `usage` has counted it."""
        self.answers[question] = answer
        self._write({"question": question, "answer": answer, "usage": asdict(self.usage)})

    def spent(self) -> None:
        """`usage` has counted what was not answered."""
        self._write({"usage": asdict(self.usage)})

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry).encode() + b"\n")

    def _read(self, path: Path) -> None:
        data = path.read_bytes() if path.is_file() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            entry = json.loads(line)
            if "usage" in entry:
                self.usage = Usage(**entry["usage"])
            if "question" in entry:
                self.answers[entry["question"]] = entry["answer"]
            if "baseline" in entry:
                self.baseline = _baseline(entry["baseline"])
            if "verdict" in entry:
                self.verdicts[entry["candidate"]] = _verdict(entry["verdict"])


def _baseline(data: dict[str, Any]) -> Baseline:
    return Baseline(**{**data, "passing": tuple(data["passing"]), "flaky": tuple(data["flaky"])})


def _verdict(data: dict[str, Any]) -> Validation:
    tuples = {name: tuple(data[name]) for name in ("FAIL_TO_PASS", "PASS_TO_PASS", "flaky")}
    failures = {test: Failure(**failure) for test, failure in data["failures"].items()}
    return Validation(**{**data, **tuples, "failures": failures})
