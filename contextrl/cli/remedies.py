"""What to do about an error of the operating system.

Invariant: another place is advised only by the setting that chooses this one: CONTEXTRL_HOME for what lies in our home,
`runs` for a training run.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_TOLD_WHERE = ("traj", "pairs", "view", "report")
"""Commands whose files are all named on the command line."""
_TRAIN = ("train", "study")
"""Commands whose files go where the recipe says."""


def remedy(error: OSError, command: str) -> str:
    """What to do, in a few words. `command`: the first word after `contextrl`; empty where that is not known."""
    chooses = _setting(error, command)
    if error.errno in _FULL:
        elsewhere = f", or choose another place ({chooses})" if chooses else ""
        goes_on = "" if command in _TOLD_WHERE else "; the same command goes on from there"
        return f"make room{elsewhere}{goes_on}"
    if error.errno in _FORBIDDEN:
        return "choose a place that you may write to" + (f" ({chooses})" if chooses else "")
    return "check the path" + (f"; {chooses} chooses where things are kept" if chooses else "")


def _setting(error: OSError, command: str) -> str:
    """The setting that chooses where the file is; empty where none does."""
    if isinstance(error.filename, str | os.PathLike):
        if _in_home(Path(error.filename)):
            return "CONTEXTRL_HOME=FOLDER"
        return "runs=FOLDER" if command in _TRAIN else ""
    if command in _TRAIN:
        return "runs=FOLDER or CONTEXTRL_HOME=FOLDER"
    return "" if command in _TOLD_WHERE else "CONTEXTRL_HOME=FOLDER"


def _in_home(path: Path) -> bool:
    from sandbox.home import home

    try:
        return path.absolute().is_relative_to(home().absolute())
    except OSError:
        return False
