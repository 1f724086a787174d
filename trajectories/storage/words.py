"""The index of words: which trajectories say something.

Invariant: up to a position that the store knows, each trajectory's different words are in the index; a word is a run of
letters and digits in any alphabet, without regard to case, in SQLite (FTS5, without contents) as in PostgreSQL. What
came later is indexed by whoever asks (`trajectories.storage.indexing`). Words go in the transaction of their row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from trajectories.queries import StoreError
from trajectories.records import Trajectory
from trajectories.storage.schema import metadata, store_meta

_WORD = re.compile(r"[^\W_]+")
_GAPS = {code: " " for code in range(128) if not chr(code).isalnum()}
_LONGEST, _MOST_BYTES = 64, 800_000
"""Characters of a word, and bytes of all words of a trajectory: a vector of PostgreSQL holds 1 MiB."""
INDEXED_TO = "indexed_to"
"""Key of the position up to which all is indexed, in `store_meta`."""

TABLES = {
    "sqlite": [
        "CREATE VIRTUAL TABLE words USING fts5(said, content='', columnsize=0, detail=none, tokenize='ascii')",
    ],
    "postgresql": [
        "CREATE TABLE words (position BIGINT PRIMARY KEY, said TSVECTOR NOT NULL)",
        "CREATE INDEX words_by_word ON words USING gin (said)",
    ],
}
_INSERT = {
    "sqlite": sa.text("INSERT INTO words (rowid, said) VALUES (:position, :said)"),
    "postgresql": sa.text(
        "INSERT INTO words (position, said) VALUES (:position, array_to_tsvector(string_to_array(:said, ' ')))"
    ),
}
_DELETE = {
    "sqlite": sa.text("INSERT INTO words (words, rowid, said) VALUES ('delete', :position, :said)"),
    "postgresql": sa.text("DELETE FROM words WHERE position = :position AND :said <> ''"),
}


@sa.event.listens_for(metadata, "after_create")
def _create(_metadata: sa.MetaData, connection: sa.Connection, **_more: Any) -> None:
    if "words" not in sa.inspect(connection).get_table_names():
        for statement in TABLES[connection.dialect.name]:
            connection.exec_driver_sql(statement)


def said_in(trajectory: Trajectory) -> str:
    """Its different words, between blanks; the longest are left out where there are more than an index holds."""
    texts = [text.lower() for text in _texts(trajectory)]
    found = set("\n".join(text for text in texts if text.isascii()).translate(_GAPS).split())
    found.update(word for text in texts if not text.isascii() for word in _WORD.findall(text))
    said = " ".join({word[:_LONGEST] for word in found})
    return said if 4 * len(said) <= _MOST_BYTES else _cut(said)


def _texts(trajectory: Trajectory) -> Iterator[str]:
    yield trajectory.problem_statement
    for turn in trajectory.turns:
        yield turn.text
        yield turn.observation
        yield from (value for value in turn.tool_call.arguments.values() if value not in turn.text)
    yield trajectory.patch


def _cut(said: str) -> str:
    words = sorted(said.split(" "), key=lambda word: (len(word), word))
    ends = accumulate(len(word.encode()) + 1 for word in words)
    return " ".join(word for word, end in zip(words, ends, strict=True) if end <= _MOST_BYTES)


def indexed_to(connection: sa.Connection) -> int:
    """The position up to which all is indexed."""
    query = sa.select(store_meta.c.value).where(store_meta.c.key == INDEXED_TO)
    return int(connection.scalar(query) or 0)


def index(connection: sa.Connection, after: int, upto: int, said: Sequence[tuple[int, str]]) -> int:
    """Index those between two positions, each given with what `said_in` gave; how many, 0 where another process did."""
    known = (store_meta.c.key == INDEXED_TO) & (store_meta.c.value == str(after))
    if not connection.execute(store_meta.update().where(known).values(value=str(upto))).rowcount:
        return 0
    if rows := [{"position": position, "said": words} for position, words in said if words]:
        connection.execute(_INSERT[connection.dialect.name], rows)
    return len(said)


def delete(connection: sa.Connection, trajectories: Iterable[tuple[int, Trajectory]]) -> None:
    """Take those of these trajectories out, each given with its position: SQLite must be told again what was said."""
    upto = indexed_to(connection)
    rows = [{"position": p, "said": said} for p, t in trajectories if p <= upto and (said := said_in(t))]
    if rows:
        connection.execute(_DELETE[connection.dialect.name], rows)


def holds(position: sa.ColumnElement[int], text: str) -> sa.ColumnElement[bool]:
    """Whether a trajectory has all words of a text; the last may be a word's beginning, unless a blank follows.

    Raises `StoreError` where there is none.
    """
    asked = [word[:_LONGEST] for word in _WORD.findall(text.lower())]
    if not asked:
        raise StoreError(f"There is no word in {text!r}: search for letters or digits.")
    cut = not text[-1:].isspace()
    *whole, last = asked
    # Words hold letters and digits only, so that quoting them is enough.
    fts5 = " ".join(f'"{word}"' for word in asked) + "*" * cut
    tsquery = " & ".join([*(f"'{word}'" for word in whole), f"'{last}'{':*' * cut}"])
    return _Holds(position, sa.literal(fts5), sa.literal(tsquery))


class _Holds(sa.sql.functions.FunctionElement[bool]):
    """A condition whose SQL each database has its own words for."""

    type = sa.Boolean()
    inherit_cache = True


@compiles(_Holds, "sqlite")
def _sqlite(element: _Holds, compiler: SQLCompiler, **kw: Any) -> str:
    position, query, _ = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{position} IN (SELECT rowid FROM words WHERE words MATCH {query})"


@compiles(_Holds, "postgresql")
def _postgresql(element: _Holds, compiler: SQLCompiler, **kw: Any) -> str:
    position, _, query = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{position} IN (SELECT w.position FROM words w WHERE w.said @@ CAST({query} AS tsquery))"
