"""Rows of a data set on the Hugging Face hub, where it can be reached.

Invariant: nothing is fetched but the Parquet files that the hub lists for the data set and the split; HF_ENDPOINT names
another hub, as for Hugging Face's own libraries.
"""

from __future__ import annotations

import json
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from envs.tasksets.files import Row, read_rows
from envs.tasksets.repositories import TaskSetError

_TIMEOUT_S = 30.0


def hub_rows(name: str, split: str | None = None, limit: int | None = None) -> list[Row]:
    """The rows of a data set's split, its only one or `test` unless named. Raises `TaskSetError`."""
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    listing = json.loads(_get(f"{hub}/api/datasets/{urllib.parse.quote(name)}/parquet", name, hub))
    configs: dict[str, dict[str, list[str]]] = listing if isinstance(listing, dict) else {}
    config = configs.get("default") or next(iter(configs.values()), {})
    chosen = split or (next(iter(config)) if len(config) == 1 else "test")
    if chosen not in config:
        raise TaskSetError(f"{name} has no split {chosen!r}: give --split with one of {', '.join(config) or 'none'}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part.parquet"
        for url in config[chosen]:
            if limit is not None and len(rows) >= limit:
                break
            file.write_bytes(_get(url, name, hub))
            rows += read_rows(file)
    return rows


def _get(url: str, name: str, hub: str) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise TaskSetError(f"{hub} names {url!r} as a file of {name}, which is no web address: give a file instead")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            data: Any = answer.read()
            return bytes(data)
    except urllib.error.HTTPError as error:
        raise TaskSetError(f"{hub} has no readable data set {name} (HTTP {error.code}): check the name") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise TaskSetError(
            f"{name} is no file here, and {hub} cannot be reached ({reason}): give a .json, .jsonl or .parquet file"
        ) from None
