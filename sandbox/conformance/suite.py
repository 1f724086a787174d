"""All cases, collected.

Invariant: every public coroutine function of the modules named here is a case, in the order in which it stands there,
and no two have the same name.
"""

from __future__ import annotations

import inspect
from types import ModuleType

from sandbox.conformance import (
    commands,
    cpu_time,
    ends,
    files,
    jobs,
    limits,
    output,
    scripts,
    shell_ends,
    shell_state,
    shell_tricks,
    timeouts,
    trees,
    walls,
)
from sandbox.conformance.attacks import disk, exhaustion, host, leaks, network, paths, privileges, siblings, survival
from sandbox.conformance.bed import Case


def _cases(*modules: ModuleType) -> tuple[Case, ...]:
    found = []
    for module in modules:
        for name, thing in vars(module).items():
            if inspect.iscoroutinefunction(thing) and thing.__module__ == module.__name__ and name[0] != "_":
                found.append(thing)
    return tuple(found)


CASES = _cases(
    commands,
    output,
    scripts,
    shell_state,
    shell_ends,
    shell_tricks,
    jobs,
    timeouts,
    cpu_time,
    files,
    trees,
    walls,
    limits,
    ends,
)
"""What `sandbox.protocol` promises."""

ATTACKS = _cases(network, exhaustion, disk, paths, siblings, host, leaks, privileges, survival)
"""Attempts to break out, to break others or to live on."""
