"""The table of attacks and backends that stands in docs/sandbox.md.

Invariant: it says `held` exactly where `WEAK` has no entry; the tests run every case for every backend.
"""

from __future__ import annotations

from sandbox.conformance.suite import ATTACKS
from sandbox.conformance.weak import WEAK

BACKENDS = ("docker", "local", "remote")


def attack_table() -> str:
    """The table in Markdown, one row for each attack; weaknesses are explained below it."""
    lines = ["| attack | " + " | ".join(BACKENDS) + " |", "| --- |" + " --- |" * len(BACKENDS)]
    for case in ATTACKS:
        verdicts = ["weak" if (backend, case.__name__) in WEAK else "held" for backend in BACKENDS]
        lines.append(f"| {case.__name__.replace('_', ' ')} | " + " | ".join(verdicts) + " |")
    notes = [f"* {backend}, {name.replace('_', ' ')}: {why}" for (backend, name), why in sorted(WEAK.items())]
    return "\n".join([*lines, "", *notes]).rstrip()
