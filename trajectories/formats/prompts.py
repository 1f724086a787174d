"""What the first prompt and the names of task instances say.

Invariant: nothing is made up. A repository or a commit is named only where the instance's id says it.
"""

from __future__ import annotations

import hashlib
import re

_TAGS = r"pr_description|issue_description|problem_statement|github_issue|issue"
_STATEMENTS = (
    re.compile(rf"<(?P<tag>{_TAGS})>\n?(?:Consider the following PR description:\n)?(.*?)\n?</(?P=tag)>", re.DOTALL),
    re.compile(r"(?P<tag>)\[ISSUE\]\n?(.*?)\n?\[/ISSUE\]", re.DOTALL),
    re.compile(r"(?P<tag>)(?:\A|\n)ISSUE:\n(.*?)(?:\n+INSTRUCTIONS:|\Z)", re.DOTALL),
)
_SMITH = re.compile(r"(?P<owner>[\w.-]+?)__(?P<name>[\w.-]+?)\.(?P<commit>[0-9a-f]{8})\.(?P<kind>\w+)")
_BENCH = re.compile(r"(?P<owner>[\w.-]+?)__(?P<name>[\w.-]+)-(?P<number>\d+)")
_SAMPLED = re.compile(r"([\w.-]+?__[\w.-]+-\d+)_\d+|([\w.-]+?__[\w.-]+?\.[0-9a-f]{8}\.\w+)\.[0-9a-z]{8}_\d+")


def statement(prompt: str) -> str:
    """The problem statement in a first prompt; the whole prompt where no rule finds one."""
    for pattern in _STATEMENTS:
        if (found := pattern.search(prompt)) and found[2].strip():
            return found[2]
    return prompt


def repository(instance_id: str) -> tuple[str, str]:
    """Repository and base commit that an id says: of SWE-smith's both, of SWE-bench's the first; else empty."""
    if found := _SMITH.match(instance_id):
        return f"{found['owner']}/{found['name']}", found["commit"]
    found = _BENCH.fullmatch(instance_id)
    return (f"{found['owner']}/{found['name']}", "") if found else ("", "")


def instance(instance_id: str) -> str:
    """The id of the task, without what a collection of samples puts after it."""
    found = _SAMPLED.fullmatch(instance_id)
    return found[1] or found[2] if found else instance_id


def nameless(problem_statement: str) -> str:
    """An id for a task of which only the statement is known: the same for the same task."""
    return f"unnamed-{hashlib.sha256(problem_statement.encode()).hexdigest()[:12]}"
