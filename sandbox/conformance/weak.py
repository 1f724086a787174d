"""What a backend of ours is known not to keep.

Invariant: every entry is a case that really fails there (the tests expect the failure, strictly), and the table in
docs/sandbox.md shows it.
"""

from __future__ import annotations

_ONE_USER = (
    "all sandboxes have the same user, and the kernel counts inotify instances by user: one sandbox can leave none to "
    "the others (fs.inotify.max_user_instances says how many there are)"
)

_WATCHED = (
    "trees above 2,000 files or 32 MiB have their /testbed on the engine's disk, under a watch that counts files with "
    "a name or open in processes that it may look into; those of undumpable processes, or only mapped, escape it"
)

WEAK: dict[tuple[str, str], str] = {
    ("docker", "disk_fill_by_a_hidden_process"): _WATCHED,
    ("docker", "watches_counted_per_user"): _ONE_USER,
    ("local", "watches_counted_per_user"): _ONE_USER,
    ("remote", "watches_counted_per_user"): _ONE_USER,
}
"""(name of the backend, name of the case) -> why."""
