"""Trajectories of other programs, read and written.

    for trajectory in recognise(path).read(path): ...
    find("atif").write(trajectories, path)

Invariant: each format is found by one name, and a file is of one format: the first that recognises it, the plainest
last. A package brings its own by an entry point of the group `contextrl.trajectory_formats`, which gives a
`TrajectoryFormat` or its class; such a one comes before ours.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from trajectories.formats.agent_data_protocol import AgentDataProtocolFormat
from trajectories.formats.atif import AtifFormat
from trajectories.formats.chat import ChatFormat
from trajectories.formats.files import FormatError
from trajectories.formats.mini_swe_agent import MiniSweAgentFormat
from trajectories.formats.native import NativeFormat
from trajectories.formats.openhands import OpenHandsFormat
from trajectories.formats.openhands_events import OpenHandsEventsFormat
from trajectories.formats.parquet import ParquetFormat
from trajectories.formats.protocol import Sample, TrajectoryFormat
from trajectories.formats.swe_agent import SweAgentFormat
from trajectories.formats.swe_smith import SweSmithFormat

__all__ = ["FORMATS", "FormatError", "Sample", "TrajectoryFormat", "find", "formats", "recognise"]

GROUP = "contextrl.trajectory_formats"
_OURS: tuple[TrajectoryFormat, ...] = (
    ParquetFormat(),
    NativeFormat(),
    AtifFormat(),
    MiniSweAgentFormat(),
    OpenHandsEventsFormat(),
    OpenHandsFormat(),
    SweAgentFormat(),
    SweSmithFormat(),
    AgentDataProtocolFormat(),
    ChatFormat(),
)
FORMATS: dict[str, TrajectoryFormat] = {item.name: item for item in _OURS}
"""All formats by name. Add your own to this dictionary, or by an entry point."""


def formats() -> dict[str, TrajectoryFormat]:
    """All formats by name, those of installed packages first. Raises `FormatError` for one that fails."""
    found = brought()
    return found | {name: item for name, item in FORMATS.items() if name not in found}


@cache
def brought() -> dict[str, TrajectoryFormat]:
    """The formats of installed packages, looked for once: a folder has thousands of files to recognise."""
    found: dict[str, TrajectoryFormat] = {}
    for point in entry_points(group=GROUP):
        try:
            given = point.load()
            found[point.name] = given() if isinstance(given, type) else given
        except Exception as error:  # somebody else's code
            raise FormatError(
                f"the format {point.name} of {point.value} fails: {type(error).__name__}: {error}"
            ) from error
    return found


def find(name: str) -> TrajectoryFormat:
    """The format of that name. Raises `FormatError`."""
    known = formats()
    if name not in known:
        raise FormatError(f"there is no format {name!r}: give one of {', '.join(known)}")
    return known[name]


def recognise(path: Path) -> TrajectoryFormat | None:
    """The format of a file, or of a folder `events`; None where no format knows it. Raises `FormatError`, `OSError`."""
    if path.is_dir():
        first = next(iter(sorted(path.glob("*.json"))), None)
        found = recognise(first) if first and path.name == "events" else None
        return found if found and found.name == "openhands-events" else None
    sample = Sample(path)
    return next((item for item in formats().values() if item.sniff(sample)), None)
