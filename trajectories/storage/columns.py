"""Column types that hold what a policy may write, on databases that do not take any text.

Invariant: what is bound as one of these compares equal to itself, and `AnyText` comes back exactly. On SQLite both are
plain `TEXT`.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Dialect, LargeBinary, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

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


class ContentKey(TypeDecorator[str]):
    """SHA-256 of what it stands for: 64 hexadecimal digits here, 32 bytes in the database."""

    impl = LargeBinary(32)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """The key as the database gets it."""
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        """The key as it was bound."""
        return None if value is None else value.hex()


class Id(TypeDecorator[str]):
    """An id that is found by how it starts too: compared by its bytes on every database."""

    impl = String(64)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """PostgreSQL would compare by the rules of a language."""
        return dialect.type_descriptor(String(64, collation="C" if dialect.name == "postgresql" else None))
