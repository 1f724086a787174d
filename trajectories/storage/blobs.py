"""Texts that trajectories share, as rows, and back: each function works in a transaction that its caller opened.

Invariant: a text is stored once, under the SHA-256 of what it says; it stays as long as a body names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from trajectories.storage.codec import unpack
from trajectories.storage.filters import batches
from trajectories.storage.statements import NEW_TEXT, TEXTS


def insert(connection: sa.Connection, texts: Mapping[str, bytes]) -> None:
    """Keep those that are new; compressed, by key."""
    if texts:
        connection.execute(NEW_TEXT, [{"key": key, "text": text} for key, text in texts.items()])


def read(connection: sa.Connection, keys: Collection[str]) -> dict[str, str]:
    """Those of the texts that are there."""
    found: dict[str, str] = {}
    for batch in batches(keys):
        found.update((key, unpack(text).decode()) for key, text in connection.execute(TEXTS, {"values": batch}))
    return found
