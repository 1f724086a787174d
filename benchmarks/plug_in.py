"""Plugs packages in with no option at all, and prints what was found out.

Run it: python -m benchmarks.plug_in [PACKAGES] [--backend local] [--json out.json]. A package is anything that
`contextrl repo add` takes; a bare name is one of the index. What was plugged in before is not measured again (set
CONTEXTRL_HOME to an empty folder for fresh seconds).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from contextrl.cli import show
from envs.repos import RepoError, add_repository
from envs.repos.learned import learned
from sandbox import open_backend
from sandbox.protocol import SandboxBackend, SandboxError

PACKAGES = ("toolz", "more-itertools", "attrs", "click", "jinja2", "packaging", "python-dateutil")
PACKAGES += ("tomli", "idna", "pyparsing", "humanize", "inflection", "cachetools")
COLUMNS = ("package", "version", "runner", "passing", "failing", "flaky", "functions", "suite, s", "in all, s")


async def plug_in(source: str, backend: SandboxBackend) -> tuple[object, ...]:
    """A row of the table."""
    began = time.monotonic()
    try:
        profile = await add_repository(source if ":" in source or "/" in source else f"pypi:{source}", backend=backend)
    except (RepoError, SandboxError) as error:
        return (source, "-", f"failed: {error}", *["-"] * 5, f"{time.monotonic() - began:.0f}")
    known = learned(profile)
    return (
        profile.name,
        profile.version,
        profile.log_parser,
        known.passing,
        known.failing,
        len(profile.flaky),
        len(profile.covers),
        f"{profile.test_seconds:.1f}",
        f"{time.monotonic() - began:.0f}",
    )


async def all_of(packages: list[str], name: str) -> list[tuple[object, ...]]:
    """One after the other; each row is told when it is there."""
    backend = await open_backend(name)
    rows = []
    try:
        for package in packages:
            rows.append(await plug_in(package, backend))
            print(*rows[-1], sep="\t", flush=True)
    finally:
        await backend.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=list(PACKAGES))
    parser.add_argument("--backend", default="local")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = asyncio.run(all_of(arguments.packages, arguments.backend))
    print()
    show.table(COLUMNS, rows, "no package was given")
    if arguments.json:
        arguments.json.write_text(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
