"""A row of somebody else's data set, read with care.

Invariant: a value is either right, or mended with a sentence in `repairs`, or refused with the row's number, its id,
the field and what to do. Nothing is guessed in silence.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from envs.tasksets.repositories import TaskSetError
from envs.tasksets.rows import TESTS

_KNOWN = [
    *("instance_id", "repo", "base_commit", "patch", "test_patch", "problem_statement", "hints_text", "created_at"),
    *("version", "environment_setup_commit", "image", "image_name", "docker_image", "eval_script", "log_parser"),
    *("eval_type", "install_config", "language", *TESTS),
]
_CANONICAL = {name.lower().replace("_", ""): name for name in _KNOWN}
_PROGRESS = re.compile(r"\[\s*\d+%\]")
_ID = re.compile(r"(?P<owner>[^/\s]+?)__(?P<name>[^/\s]+?)(?:-\d+|\..+)?")


class Row:
    """One row; `repairs` fills as its fields are read."""

    def __init__(self, number: int, data: Mapping[str, Any]) -> None:
        """`number` counts from 1."""
        self.number = number
        self.repairs: list[str] = []
        self._data = self._named(data)

    def _named(self, data: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in data.items() if key in _KNOWN and not _missing(value)}
        for key, value in data.items():
            name = _CANONICAL.get(key.lower().replace("_", "").replace(" ", "").replace("-", ""), "")
            if key != name and name and name not in found and not _missing(value):
                found[name] = value
                self.repairs.append(f"its field {key} was read as {name}")
        return found

    def wrong(self, field: str, problem: str, remedy: str) -> TaskSetError:
        """The error that tells what is wrong with a field."""
        name = str(self._data.get("instance_id") or "without an instance_id")[:80]
        return TaskSetError(f"row {self.number} ({name}): {field} {problem}: {remedy}")

    def has(self, field: str) -> bool:
        """Whether there is a value that is not empty."""
        return self._data.get(field) not in (None, "")

    def text(self, field: str, *, required: bool = True) -> str:
        """A field that is text, empty where it is missing and not required. Raises `TaskSetError`."""
        value = self._data.get(field)
        if required and (value is None or (isinstance(value, str) and not value.strip())):
            raise self.wrong(field, "is missing", "add it to the row, or leave the row out (--skip-bad)")
        if value is not None and not isinstance(value, str | int | float):
            raise self.wrong(field, f"is a {type(value).__name__}", "it must be text")
        return "" if value is None else str(value)

    def patch(self, field: str, *, required: bool = True) -> str:
        """A field that is a diff. Raises `TaskSetError`."""
        text = self.text(field, required=required)
        if text and not text.endswith("\n"):
            text += "\n"
            self.repairs.append(f"its {field} lacked the last line feed")
        if text.strip() and "\n--- " not in f"\n{text}" and "diff --git " not in text:
            raise self.wrong(field, "is no diff", "it must hold `diff --git` or `---` lines")
        return text

    def mapping(self, field: str) -> dict[str, Any]:
        """A field that is a mapping, or the JSON of one; empty where it is missing. Raises `TaskSetError`."""
        value = self._data.get(field)
        if isinstance(value, str):
            value = _decoded(value)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(field, "is no mapping", "give an object, or the JSON of one")
        return value or {}

    def repo(self) -> str:
        """`owner/name`; from the instance id where it is missing."""
        if self.has("repo"):
            return self.text("repo")
        match = _ID.fullmatch(self.text("instance_id"))
        if match is None:
            raise self.wrong("repo", "is missing", "the instance_id does not name it either, so add it to the row")
        self.repairs.append("its repo was missing and comes from its instance_id")
        return f"{match['owner']}/{match['name']}"

    def created_at(self) -> str:
        """A date as text; milliseconds and seconds since 1970 become one."""
        value = self._data.get("created_at")
        if isinstance(value, int | float) and value > 0:
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC).isoformat()
        return value.isoformat() if isinstance(value, datetime) else self.text("created_at", required=False)

    def tests(self, *, pytest: bool) -> dict[str, tuple[str, ...]]:
        """FAIL_TO_PASS and PASS_TO_PASS, cleaned. Raises `TaskSetError`."""
        if self._data.get("PASS_TO_PASS") is None:
            self.repairs.append("its PASS_TO_PASS was missing and is taken as empty")
            self._data["PASS_TO_PASS"] = []
        found = {field: self._cleaned(field, self._list(field), pytest) for field in TESTS}
        both = set(found[TESTS[0]]) & set(found[TESTS[1]])
        if both:
            self.repairs.append(f"{len(both)} tests stood in both lists and stay in FAIL_TO_PASS alone")
            found[TESTS[1]] = [test for test in found[TESTS[1]] if test not in both]
        if not found[TESTS[0]]:
            raise self.wrong(TESTS[0], "names no test", "nothing could grade the task, so leave it out (--skip-bad)")
        return {field: tuple(tests) for field, tests in found.items()}

    def _list(self, field: str) -> list[str]:
        value = self._data.get(field)
        if value is None:
            raise self.wrong(field, "is missing", "add it to the row, or leave the row out (--skip-bad)")
        if isinstance(value, str):
            decoded = _decoded(value)
            if decoded is None:
                decoded = _literal(value)
                if decoded is not None:
                    self.repairs.append(f"its {field} was Python's text of a list, not JSON")
            value = decoded
        if not isinstance(value, list | tuple) or not all(isinstance(test, str) for test in value):
            raise self.wrong(field, "is no list of test ids", "give a list of strings, or the JSON of one")
        return list(value)

    def _cleaned(self, field: str, tests: list[str], pytest: bool) -> list[str]:
        tests = [test.strip() for test in tests] if pytest else tests
        dirty = [test for test in tests if not test.strip() or _PROGRESS.fullmatch(test.strip())]
        dirty += [test for test in tests if pytest and test not in dirty and "::" not in test and "/" not in test]
        clean = list(dict.fromkeys(test for test in tests if test not in dirty))
        for test in dict.fromkeys(dirty):
            self.repairs.append(f"its {field} held {test!r}, which is no test id and is left out")
        if len(tests) - len(dirty) > len(clean):
            self.repairs.append(f"its {field} named {len(tests) - len(dirty) - len(clean)} tests twice")
        cut = [test for test in clean if pytest and "[" in test and not test.endswith("]")]
        if cut:
            some = f"{len(cut)} ids in its {field} are cut off within their parameters (first {cut[0]!r})"
            self.repairs.append(f"{some}: they are kept, and swebench matches them by their beginning")
        return clean


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
