"""Where ContextRL keeps what can be made again: images, environments, repositories, task sets.

Invariant: everything below `home()` can be deleted at any time; it costs time, never data.
"""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """`$CONTEXTRL_HOME`, else `$XDG_CACHE_HOME/contextrl`, else `~/.cache/contextrl`; made if missing.

    Raises `OSError`, in one sentence, where it cannot be made.
    """
    root = os.environ.get("CONTEXTRL_HOME")
    base = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contextrl"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the folder {base} cannot be made ({error.strerror}): set CONTEXTRL_HOME to another") from None
    return base
