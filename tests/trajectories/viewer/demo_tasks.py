"""The tasks of the demo: six functions alike, each with four bugs."""

from __future__ import annotations

from difflib import unified_diff
from typing import NamedTuple

FUNCTIONS = ("settle", "refund", "invoice", "payout", "accrue", "reverse")
GOOD = '''def settle(entries, rate, limit):
    """What the entries come to with tax, at most the limit."""
    total = 0
    for entry in entries:
        if entry.void:
            continue
        total += entry.amount
    taxed = total + total * rate
    return min(taxed, limit)
'''


class Bug(NamedTuple):
    """One line that is wrong in one function."""

    name: str
    line: str
    right: str
    statement: str
    test: str
    said: str
    function: str = "settle"

    def of(self, function: str) -> Bug:
        """The same in another function."""
        return self._replace(
            function=function,
            statement=self.statement.replace("settle`", f"{function}`"),
            test=f"{self.test}_{function}",
        )

    @property
    def file(self) -> str:
        """Where the function is."""
        return f"ledger/{self.function}.py"

    @property
    def good(self) -> str:
        """The file as it must be."""
        return GOOD.replace("def settle", f"def {self.function}")

    @property
    def source(self) -> str:
        """The file with the bug."""
        return self.good.replace(self.right, self.line)

    @property
    def diff(self) -> str:
        """From the one to the other."""
        lines = unified_diff(
            self.source.splitlines(True), self.good.splitlines(True), f"a/{self.file}", f"b/{self.file}"
        )
        return "".join(lines)

    @property
    def siblings(self) -> list[Bug]:
        """All bugs of its function."""
        return [bug.of(self.function) for bug in BUGS]

    @property
    def instance(self) -> str:
        """The task instance."""
        return f"ledger__{self.function}-{self.name}"


BUGS = (
    Bug(
        "tax",
        "    taxed = total - total * rate",
        "    taxed = total + total * rate",
        "`settle` gives too little where a rate is set: with entries of 100 and a rate of 0.2 it comes to 80.",
        "test_tax_is_added",
        "AssertionError: 80.0 != 120.0",
    ),
    Bug(
        "void",
        "        if not entry.void:",
        "        if entry.void:",
        "`settle` counts what was made void and leaves out all else: three good entries settle to nothing.",
        "test_void_entries_do_not_count",
        "AssertionError: 0 != 300",
    ),
    Bug(
        "limit",
        "    return max(taxed, limit)",
        "    return min(taxed, limit)",
        "`settle` does not hold the limit: an account with a limit of 50 is settled with 120.",
        "test_the_limit_holds",
        "AssertionError: 120.0 != 50",
    ),
    Bug(
        "sum",
        "        total = entry.amount",
        "        total += entry.amount",
        "`settle` forgets entries: of several only the last one is settled.",
        "test_all_entries_count",
        "AssertionError: 40 != 100",
    ),
)


TASKS = [bug.of(function) for function in FUNCTIONS for bug in BUGS]


DOCUMENT = """# Settling

Entries that were made void do not count. Tax is added to the total. What is
settled never exceeds the limit of the account.
"""


def log(bug: Bug, passes: bool) -> str:
    """What the test runner prints, in colours."""
    lines = []
    for each in bug.siblings:
        good = passes or each.name != bug.name
        word = "\x1b[32mok\x1b[0m" if good else "\x1b[1;31mFAIL\x1b[0m"
        lines.append(f"{each.test} (test_settle.SettleTest) ... {word}")
    if not passes:
        lines += ["", "=" * 70, f"\x1b[31mFAIL: {bug.test}\x1b[0m", "-" * 70, f"\x1b[33m{bug.said}\x1b[0m"]
    outcome = "\x1b[32mOK\x1b[0m" if passes else "\x1b[1;31mFAILED (failures=1)\x1b[0m"
    return "\n".join([*lines, "", f"Ran {len(BUGS)} tests in 0.0{len(bug.name)}s", "", outcome, ""])


def task(bug: Bug) -> dict[str, object]:
    return {
        "instance_id": bug.instance,
        "repo": "ledger",
        "problem_statement": bug.statement,
        "patch": bug.diff,
        "FAIL_TO_PASS": [f"test_settle.{bug.test}"],
        "PASS_TO_PASS": [f"test_settle.{b.test}" for b in bug.siblings if b.name != bug.name],
    }
