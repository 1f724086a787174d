"""The program inside every sandbox: it runs commands and moves files for the client at the other end of its channel.

Invariant: only whole frames written by this program leave through the channel, whatever commands print or do, and
nothing of a command that ran out of time is left behind. It must be process 1 of its own pid namespace: when the
channel closes or the lease runs out it ends, and the kernel ends everything else with it.

Standard library only, Python 3.8 or newer, and little of it: a sandbox should be small. The Docker backend sends the
modules below ahead of the first frame; they import nothing but the standard library and each other.
"""

from __future__ import annotations

MODULES = (
    "frames",
    "capture",
    "events",
    "processes",
    "cpu_time",
    "disk",
    "outputs",
    "program",
    "shell",
    "commands",
    "files",
    "seed",
    "seccomp",
    "main",
)
"""In the order in which they can be loaded."""
