"""What a backend of ours is known not to keep.

Invariant: every entry is a case that really fails there (the tests expect the failure, strictly), and the table in
docs/sandbox.md shows it.
"""

from __future__ import annotations

WEAK: dict[tuple[str, str], str] = {}
"""(name of the backend, name of the case) -> why."""
