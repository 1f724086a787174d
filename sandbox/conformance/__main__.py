"""`python -m sandbox.conformance --backend docker` prints what holds and, where something does not, why.

Invariant: the exit code is 0 only when every chosen case held or failed as declared in `WEAK`.
"""

from __future__ import annotations

import argparse
import asyncio
import linecache
import re
import sys
import time
import traceback

from sandbox.backends import open_backend
from sandbox.conformance import ATTACKS, CASES, WEAK, Case, check
from sandbox.conformance.table import attack_table
from sandbox.protocol import SandboxBackend, SandboxError


def promise(case: Case) -> str:
    """The sentence that stands in the case's docstring."""
    return " ".join((case.__doc__ or "").split())


async def held(backend: SandboxBackend, case: Case, sees_processes: bool) -> str:
    """Why the case does not hold; empty when it does."""
    try:
        await check(backend, case, sees_processes=sees_processes)
    except Exception as error:
        return _why(error)
    return ""


def _why(error: Exception) -> str:
    """The failing line, with the values of the names in it, and what was said."""
    frames = [frame for frame in traceback.walk_tb(error.__traceback__) if "conformance" in frame[0].f_code.co_filename]
    frame, number = frames[-1]
    line = linecache.getline(frame.f_code.co_filename, number).strip()
    values = {name: repr(frame.f_locals[name]) for name in re.findall(r"\w+", line) if name in frame.f_locals}
    shown = ", ".join(f"{name} = {value[:300]}" for name, value in values.items() if "object at 0x" not in value)
    said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    return " | ".join(part for part in (f"{line} (line {number})", shown, said[:500]) if part)


async def run(backend_name: str, words: list[str], sees_processes: bool) -> int:
    """Run the cases whose names have one of the words in them, or all; the number of surprises."""
    backend = await open_backend(backend_name)
    surprises = 0
    try:
        for case in CASES + ATTACKS:
            if words and not any(word in case.__name__ for word in words):
                continue
            started = time.monotonic()
            why = await held(backend, case, sees_processes)
            declared = WEAK.get((backend.name, case.__name__))
            surprise = bool(why) != bool(declared)
            surprises += surprise
            verdict = "weak" if why and declared else "held" if not why else "NOT HELD"
            print(f"{verdict:8} {time.monotonic() - started:6.1f} s  {case.__name__}: {promise(case)}", flush=True)
            for note in (why, f"declared as weak: {declared}" if declared else ""):
                if note:
                    print(f"{'':19}{note}", flush=True)
    finally:
        await backend.close()
    print(f"{surprises} surprises" if surprises else "all as declared")
    return surprises


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.conformance", description=__doc__)
    parser.add_argument("words", nargs="*", help="only cases with one of these words in their names")
    parser.add_argument("--backend", default="auto", help="auto, docker, local or remote")
    parser.add_argument("--elsewhere", action="store_true", help="processes of sandboxes are not on this machine")
    parser.add_argument("--table", action="store_true", help="print the table of docs/sandbox.md and run nothing")
    options = parser.parse_args()
    if options.table:
        print(attack_table())
        return 0
    try:
        return min(asyncio.run(run(options.backend, options.words, not options.elsewhere)), 1)
    except (SandboxError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
