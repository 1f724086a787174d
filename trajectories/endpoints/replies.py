"""A cache of what endpoints answered: one file for each request, named by its content.

Invariant: a file under its final name is whole, whoever was killed while writing; many processes may use one folder.
Nothing but the answer is stored: no key, no prompt.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any


class ReplyCache:
    """Answers by request, in a folder that is made when the first is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> Any:
        """The answer, or None. A file that cannot be read as JSON (a disk that was full) counts as none."""
        try:
            return json.loads(self._path(key).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def put(self, key: str, answer: Any) -> None:
        """Keep an answer, durably enough to outlive a kill of this process."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(answer, file)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def request_key(url: str, body: dict[str, Any]) -> str:
    """Names a request by all that the answer depends on, 64 hexadecimal digits. The model stands in the body."""
    return hashlib.sha256(json.dumps([url, body], sort_keys=True).encode()).hexdigest()
