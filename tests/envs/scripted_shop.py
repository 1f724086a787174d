"""A shop as SWE-bench hands tasks out: an evaluation script, a patch that brings the tests, a log to be parsed."""

from envs.patch import make_patch
from envs.task import TaskInstance

MONEY = "def total(prices, tax):\n    return sum(prices) + tax\n\n\ndef change(paid, price):\n    return paid - price\n"
BROKEN = MONEY.replace("+ tax", "- tax")
SOURCE, TESTS = "shop/money.py", "tests/test_money.py"
OLD_TESTS = "from shop.money import change\n\n\ndef test_change():\n    assert change(5, 3) == 2\n"
NEW_TESTS = (
    OLD_TESTS.replace("change\n\n", "change, total\n\n", 1)
    + "\n\ndef test_total():\n    assert total([1, 2], 4) == 7\n"
)
FILES = {SOURCE: BROKEN, TESTS: OLD_TESTS, "shop/__init__.py": "", "README.md": "A shop.\n", "setup.py": "# none\n"}
GOLD = make_patch({SOURCE: BROKEN}, {SOURCE: MONEY})
TEST_PATCH = make_patch({TESTS: OLD_TESTS}, {TESTS: NEW_TESTS})

SCRIPT = """\
#!/bin/bash
set -uxo pipefail
{ready}
cd /testbed
git status
git checkout HEAD {tests}
git apply -v - <<'EOF_114329324912'
{patch}
EOF_114329324912
: '>>>>> Start Test Output'
{command}
: '>>>>> End Test Output'
git checkout HEAD {tests}
"""
READY = "export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"
"""Starts in half the time."""
PYTEST = "python -m pytest -rA -p no:cacheprovider tests/test_money.py"


def script(command=PYTEST, patch=TEST_PATCH, ready=READY):
    return SCRIPT.format(ready=ready, tests=TESTS, patch=patch.rstrip("\n"), command=command)


def scripted_task(**changes):
    about = {
        "instance_id": "me__shop-1",
        "repo": "me/shop",
        "base_commit": "5b0" + "0" * 37,
        "problem_statement": "total([1, 2], 4) gives -1, expected 7.\n",
        "patch": GOLD,
        "test_patch": TEST_PATCH,
        "FAIL_TO_PASS": (f"{TESTS}::test_total",),
        "PASS_TO_PASS": (f"{TESTS}::test_change",),
        "eval_script": script(),
        "log_parser": "parse_log_pytest",
    }
    return TaskInstance(**{**about, **changes})


def files_patch(files):
    return make_patch({path: FILES.get(path) for path in files}, files)
