"""How a profile came about: what was detected, installed, guessed and left out.

Invariant: nothing here decides how tests run; that is the profile's.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from envs.task import RepoProfile

FILE = "learned.json"


class Learned(BaseModel):
    """For `repo show` and `repo check`."""

    model_config = ConfigDict(frozen=True)

    sandbox: str = ""
    """The backend that ran the tests."""
    python: str = ""
    """Version of the interpreter that the environment was made with."""
    build_backend: str = ""
    requires_python: str = ""
    required: tuple[str, ...] = ()
    """What the repository itself needs, as it says."""
    wanted: tuple[str, ...] = ()
    """What its tests need beside that."""
    passing: int = 0
    failing: int = 0
    skipped: int = 0
    runs: int = 2
    notes: tuple[str, ...] = ()


def learned(profile: RepoProfile) -> Learned:
    """What was kept beside the profile; empty for one of an earlier version."""
    try:
        return Learned.model_validate_json((profile.tree.parent / FILE).read_text())
    except (OSError, ValidationError):
        return Learned()
