"""Which room may import which, and what must start at once."""

import ast
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ("sandbox", "envs", "agents", "trajectories", "contextrl")
MAY_IMPORT = {
    "sandbox": set(),
    "envs": {"sandbox"},
    "trajectories": set(),
    "agents": {"envs", "sandbox", "trajectories.records"},
    "contextrl": {"agents", "envs", "sandbox", "trajectories"},
}
REPLAY = Path("trajectories/replay")
"""The part of its room that needs sandboxes."""


def imports(source: str, package: str) -> Iterator[str]:
    """Modules that a file names, those of its relative imports included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def refused(path: Path, source: str) -> list[str]:
    """Imports of this file that run up."""
    room = path.parts[0]
    allowed = MAY_IMPORT[room] | ({"envs", "sandbox"} if path.is_relative_to(REPLAY) else set()) | {room}

    def may(module: str) -> bool:
        # `from trajectories import records` names the package on the way; what is taken from it counts.
        return any(f"{module}.".startswith(f"{a}.") or a.startswith(f"{module}.") for a in allowed)

    package = ".".join(path.parent.parts)
    return [m for m in imports(source, package) if m.partition(".")[0] in ROOMS and not may(m)]


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_reaches_up(room: str) -> None:
    found = {str(path): up for path in Path(room).rglob("*.py") if (up := refused(path, path.read_text()))}
    assert found == {}


def test_the_rule_sees_what_it_should() -> None:
    assert refused(Path("sandbox/a.py"), "import envs.task") == ["envs.task"]
    assert refused(Path("envs/a/b.py"), "def f():\n    from agents import protocol") == ["agents", "agents.protocol"]
    assert refused(Path("agents/a.py"), "from trajectories.store import SQLStore")
    assert refused(Path("agents/a.py"), "from trajectories import store") == ["trajectories.store"]
    assert refused(Path("agents/a.py"), "from trajectories.records import Trajectory") == []
    assert refused(Path("trajectories/mining/miner.py"), "import sandbox") == ["sandbox"]
    assert refused(Path("trajectories/replay/own.py"), "import sandbox, envs.swe") == []
    assert refused(Path("trajectories/replay/own.py"), "import agents.episode") == ["agents.episode"]
    assert refused(Path("envs/repos/a.py"), "from .. import task\nfrom ..task import TaskInstance") == []


def test_nothing_in_its_room_imports_the_replay() -> None:
    def imports_it(path: Path) -> bool:
        names = imports(path.read_text(), ".".join(path.parent.parts))
        return any(f"{name}.".startswith("trajectories.replay.") for name in names)

    others = [path for path in Path("trajectories").rglob("*.py") if not path.is_relative_to(REPLAY)]
    found = [str(path) for path in others if imports_it(path)]
    assert found == []


HEAVY = ("torch", "transformers")


@pytest.mark.parametrize(
    "code",
    [
        "import sandbox; sandbox.open_backend",
        "import trajectories.store",
        "import trajectories.mining.miner",
        "import envs.repos, envs.tasksets",
        "import contextrl.config, contextrl.recipe_file, contextrl.preflight, contextrl.report",
        "import sys; sys.argv = ['contextrl', '--help']; from contextrl.cli import main\n"
        "try: main()\nexcept SystemExit: pass",
    ],
)
def test_what_must_start_at_once_does(code: str) -> None:
    check = f"{code}\nimport sys; found = set({HEAVY!r}) & set(sys.modules); assert not found, found"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert min(cpu_seconds(code) for _ in range(2)) < 1.0


def cpu_seconds(code: str) -> float:
    """What a process that runs this costs; unlike wall time, hardly touched by what else the machine does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_links_between_pages_resolve() -> None:
    broken = [
        f"{page}: {target}"
        for page in (Path("README.md"), *Path("docs").rglob("*.md"))
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
