"""What a backend of ours is known not to keep.

Invariant: every entry is a case that really fails there (the tests expect the failure, strictly), and the table in
docs/sandbox.md shows it.
"""

from __future__ import annotations

_ONE_USER = (
    "all sandboxes have the same user, and the kernel counts inotify instances by user: one sandbox can leave none to "
    "the others (fs.inotify.max_user_instances says how many there are)"
)

WEAK: dict[tuple[str, str], str] = {
    ("docker", "watches_counted_per_user"): _ONE_USER,
    ("local", "watches_counted_per_user"): _ONE_USER,
    ("remote", "watches_counted_per_user"): _ONE_USER,
}
"""(name of the backend, name of the case) -> why."""
