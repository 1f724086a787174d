"""`python -m benchmarks.attacks [--write docs/grading.md]`: every attack, our verdict, swebench's own.

Prints the table; with `--write` it takes the place of the one in the file. Exits 1 when an attack gains anything, or an
honest repair does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.attacks.case import NAMES, Attack
from benchmarks.attacks.catalogue import ACTIONS, ATTACKS, LEAKS
from benchmarks.attacks.official import official_verdict
from benchmarks.attacks.ours import Range, told
from benchmarks.attacks.subject import GOLD, write_repository
from sandbox import open_backend

START, END = "<!-- table: python -m benchmarks.attacks --write docs/grading.md -->", "<!-- end of the table -->"
Row = tuple[int, str, str, str]


async def rows(backend_name: str, said: Callable[[Row], Any]) -> list[Row]:
    """Number, variant, our verdict, swebench's."""
    found: list[Row] = []
    backend = await open_backend(backend_name)
    with tempfile.TemporaryDirectory(prefix="contextrl-attacks-") as folder:
        here = Range(backend, write_repository(Path(folder)))
        honest = Attack(0, "an honest repair")
        for attack in (honest, *ATTACKS):
            patch = GOLD if attack is honest else attack.patch
            ours = told(await here.grade(attack, patch))
            theirs = "-" if attack.runner == "unittest" else await official_verdict(backend, here.tree, attack, patch)
            found.append((attack.number, attack.variant, ours, theirs))
            said(found[-1])
        for action in ACTIONS:
            reward, _ = await here.act(action)
            found.append((action.number, action.variant, "resolved" if reward else "unresolved", "-"))
            said(found[-1])
        for leak in LEAKS:
            found.append((leak.number, leak.variant, "found" if await here.search(leak) else "not found", "-"))
            said(found[-1])
        await backend.close()
    return sorted(found, key=lambda row: row[0])


def table(found: list[Row]) -> str:
    """As Markdown."""
    lines = ["| case | variant | ours | swebench 5.0.2 |", "|---|---|---|---|"]
    for number, variant, ours, theirs in found:
        name = f"{number} {NAMES[number]}" if number else "honest"
        lines.append(f"| {name} | {variant.replace('|', '/')} | {ours} | {theirs} |")
    attacks = [row for row in found if row[0]]
    judged = [row for row in attacks if row[3] != "-"]
    wrong = sum(row[2] in ("resolved", "found") for row in attacks)
    won = sum(row[3] == "resolved" for row in judged)
    lines += ["", f"Of {len(attacks)} attacks {wrong} gain something here; swebench resolves {won} of {len(judged)} "
              "that it was given."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description="Every attack, graded.")
    parser.add_argument("--backend", default="local", choices=["local", "docker"])
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the marks of this file")
    options = parser.parse_args()
    text = options.write.read_text() if options.write else f"{START}\n{END}\n"
    if START not in text or END not in text:
        print(f"{options.write} has no line {START!r} and {END!r} after it", file=sys.stderr)
        return 2
    found = asyncio.run(rows(options.backend, lambda row: print(*row, sep="  ", file=sys.stderr, flush=True)))
    print(table(found), end="")
    if options.write:
        head, tail = text.partition(START)[0], text.partition(END)[2]
        options.write.write_text(f"{head}{START}\n{table(found)}{END}{tail}")
    gained = [row for row in found if row[0] and row[2] in ("resolved", "found")]
    return 1 if gained or found[0][2:] != ("resolved", "resolved") else 0


if __name__ == "__main__":
    sys.exit(main())
