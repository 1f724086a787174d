"""The small repository that is attacked.

Invariant: `SOURCE` as the task shows it fails `test_total` and `test_none`, which the agent sees or not; the gold patch
repairs it and nothing else does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from envs.patch import make_patch
from envs.task import HiddenCall, RepoProfile, TaskInstance
from envs.testing.values import answer_text, call_text

SOURCE, TESTS, ADDED = "shop/money.py", "tests/test_money.py", "tests/test_prices.py"
REPAIR = "sum(prices) + tax"
"""What no search of the agent's sandbox may find."""
MONEY = f'''\
"""Sums of money."""


def total(prices, tax):
    return {REPAIR}


def change(paid, price):
    return paid - price
'''
BROKEN = MONEY.replace("+ tax", "- tax")
VISIBLE = """\
import unittest

from shop.money import change, total


class Money(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2], 4), 7)

    def test_change(self):
        self.assertEqual(change(9, 4), 5)
"""
HIDDEN_TEST = "test_of_no_prices"
"""A name that only the grader knows."""
HIDDEN = VISIBLE + f"\n    def {HIDDEN_TEST}(self):\n        self.assertEqual(total([], 5), 5)\n"
FILES = {
    "README.md": "# shop\n",
    "shop/__init__.py": "",
    SOURCE: BROKEN,
    "tests/__init__.py": "",
    TESTS: VISIBLE,
    "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n',
    "setup.cfg": "[metadata]\nname = shop\n",
}
GOLD = make_patch({SOURCE: BROKEN}, {SOURCE: MONEY})
COMMANDS = {"pytest": "python -m pytest -rA -p no:cacheprovider {tests}", "unittest": "python -m unittest -v {tests}"}


def write_repository(folder: Path) -> Path:
    """The tree of the repository, repaired: a task puts its bug over it."""
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(MONEY if path == SOURCE else text)
    folder.chmod(0o755)
    return folder


def profile_of(tree: Path, runner: str) -> RepoProfile:
    """The repository made ready for a test runner."""
    return RepoProfile(
        name=f"shop-{runner}",
        source=str(tree),
        base_commit="5b0" + "2" * 37,
        tree=tree,
        python=Path(sys.executable),
        test_cmd=COMMANDS[runner],
        log_parser="pytest" if runner == "pytest" else "unittest",
        source_files=(SOURCE, "shop/__init__.py"),
        test_files=(TESTS,),
    )


def task_of(runner: str, *, added: bool = False, hidden: bool = False) -> TaskInstance:
    """The task. `added`: its hidden tests are in a file of their own; `hidden`: it has hidden calls."""
    path = ADDED if added else TESTS
    prefix = f"{path}::Money::" if runner == "pytest" else path.removesuffix(".py").replace("/", ".") + ".Money."
    calls = [([n, n + 1], 2 * n + 3, 4 * n + 4) for n in range(24)]
    asked = (HiddenCall(function=f"{SOURCE}::total", arguments=call_text("shop.money", [prices, tax]),
                        expected=answer_text(right)) for prices, tax, right in calls)  # fmt: skip
    return TaskInstance(
        instance_id="shop-attacked",
        repo="me/shop",
        base_commit="5b0" + "2" * 37,
        problem_statement="The total of [1, 2] with a tax of 4 is -1; 7 is expected.\n",
        patch=GOLD,
        FAIL_TO_PASS=(f"{prefix}test_total", f"{prefix}{HIDDEN_TEST}"),
        PASS_TO_PASS=(f"{prefix}test_change",),
        profile=f"shop-{runner}",
        setup={SOURCE: BROKEN},
        tests={path: HIDDEN},
        test_targets=(path,),
        hidden=tuple(asked) if hidden else (),
    )
