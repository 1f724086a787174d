"""What makes forged results show: canaries among the tests, and the runner's own code compared before and after.

Invariant: a twin has the id of a test and must fail. Whether a run of an id is the test or its twin is decided outside
the sandbox, anew for every grading, so whoever reports what is expected of an id, or success for everything, is wrong
about its twins. Twins cost what their set-up costs: in place of the test's body there is one failing assertion, each
time of another kind, so that a runner whose assertions were taken away shows as well.
"""

from __future__ import annotations

import inspect
import itertools
import sys
import unittest
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

TEST, TWIN = "t", "c"
"""Letters of a plan: id -> what its runs are, in their order."""
_UNITTEST = ("case", "suite", "result", "loader", "async_case")
_PYTEST: tuple[str, ...] = (
    "runner",
    "reports",
    "python",
    "outcomes",
    "unittest",
    "main",
    "nodes",
    "fixtures",
    "python_api",
    "raises",
)
_PYTEST += ("skipping", "assertion", "config", "compat")
_WATCHED: tuple[str, ...] = (*(f"unittest.{name}" for name in _UNITTEST), *(f"_pytest.{name}" for name in _PYTEST))
_WATCHED += ("pluggy", "contextrl_driver")
_BUILTINS = ["isinstance", "issubclass", "getattr", "setattr", "hasattr", "type", "object", "len", "all", "any"]
_BUILTINS += ["bool", "repr", "AssertionError", "Exception", "BaseException", "KeyError", "LookupError", "SystemExit"]

Entry = tuple[Any, str, Any, Any, str]
"""Container, key, value, the value's code where it has one, and the whole name."""


class Plan:
    """Hands out, run after run of an id, whether it is the test or its twin."""

    def __init__(self, plan: dict[str, str], pytest: Any = None) -> None:
        self._plan = plan
        self._fail = itertools.cycle(_failures(pytest))
        self.twins: set[int] = set()
        """Ids of the objects that stand for twins."""

    def spread(self, tests: list[Any], name: Callable[[Any], str], copy: Callable[[Any], Any]) -> Iterator[Any]:
        """The tests with their twins beside them."""
        for test in tests:
            for letter in self._plan.get(name(test), TEST):
                if letter == TWIN:
                    twin = copy(test)
                    self.twins.add(id(twin))
                    yield twin
                else:
                    yield test

    def failing(self, case: Any, original: Any) -> Callable[..., Any]:
        """What a twin runs in place of its test; `case` is the `TestCase`, if it is one."""
        fail = next(self._fail)

        def body(*_: Any, **__: Any) -> None:
            fail(case)

        async def later(*_: Any, **__: Any) -> None:
            fail(case)

        of_unittest = isinstance(case, unittest.TestCase)  # it calls both kinds, but pytest only this one in its stead
        return later if inspect.iscoroutinefunction(original) and not of_unittest else body


def _failures(pytest: Any) -> list[Callable[[Any], None]]:
    """Assertions that must fail, of the kinds that tests use."""

    def plain(_: Any) -> None:
        assert 1 + 1 == 3

    def error(_: Any) -> None:
        raise LookupError("canary")

    def of_case(name: str, *arguments: Any) -> Callable[[Any], None]:
        return lambda case: getattr(case, name)(*arguments) if hasattr(case, name) else plain(case)

    def nothing_raised(case: Any) -> None:
        if hasattr(case, "assertRaises"):
            with case.assertRaises(KeyError):
                pass
        elif pytest is not None:
            with pytest.raises(KeyError):
                pass
        else:
            plain(case)

    cases = [of_case("assertEqual", 1, 2), of_case("assertTrue", False), of_case("assertIs", 1, None)]
    cases += [of_case("assertIn", 1, []), of_case("assertListEqual", [1], [2]), of_case("fail", "canary")]
    cases += [of_case("assertFalse", 1), of_case("assertAlmostEqual", 1, 2), of_case("assertIsNone", 1)]
    own = []
    if pytest is not None:

        def approximately(_: Any) -> None:
            assert pytest.approx(2) == 1

        own = [approximately, lambda _: pytest.fail("canary")]
    return [plain, nothing_raised, cases[0], error, *own, *cases[1:]]


class Fingerprint:
    """The runner's functions and classes as they were before anything of the repository was imported."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        for module in list(sys.modules.values()):
            name = getattr(module, "__name__", "")
            if isinstance(module, ModuleType) and name.startswith(_WATCHED):
                self._note(vars(module), name)
                for value in list(vars(module).values()):
                    if isinstance(value, type) and value.__module__.startswith(_WATCHED):
                        self._note(vars(value), f"{value.__module__}.{value.__qualname__}")
        builtins = vars(sys.modules["builtins"])
        self._entries += [(builtins, name, builtins[name], None, f"builtins.{name}") for name in _BUILTINS]

    def _note(self, container: Any, owner: str) -> None:
        for key, value in list(container.items()):
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType):
                self._entries.append((container, key, value, (function, function.__code__), f"{owner}.{key}"))
            elif isinstance(value, type):
                self._entries.append((container, key, value, None, f"{owner}.{key}"))

    def changed(self) -> list[str]:
        """Names of what is not as it was."""
        found = [
            name
            for container, key, value, code, name in self._entries
            if container.get(key) is not value or (code is not None and code[0].__code__ is not code[1])
        ]
        return list(dict.fromkeys(found))  # a class is met in every module that imports it
