"""Column types that hold what a policy may write, on databases that do not take any text.

Invariant: what is bound as one of these compares equal to itself, and `AnyText` comes back exactly. On SQLite both are
plain `TEXT`.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

_MOST = 500
"""Characters of a `Name`, at most 2,000 bytes: a row of a PostgreSQL index holds 2,704."""


class AnyText(TypeDecorator[str]):
    """Text with any character. PostgreSQL keeps no NUL, so there it is written as two others."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as the database gets it."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\x10", "\x10E").replace("\0", "\x10N")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it was bound."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\x10N", "\0").replace("\x10E", "\x10")


class Name(AnyText):
    """A name that is asked by and never read: PostgreSQL gets the digest of one that is too long for an index."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The name as the database gets it."""
        if value is not None and len(value) > _MOST and dialect.name == "postgresql":
            return hashlib.sha256(value.encode()).hexdigest()
        return super().process_bind_param(value, dialect)
