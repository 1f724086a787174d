"""The index of words: which trajectories say something.

Invariant: a trajectory's words are written and taken out in the transaction of its row. A word is a run of letters and
digits in any alphabet, without regard to case. SQLite finds the words itself (an FTS5 table without contents, which
costs half of what finding them here would); PostgreSQL, whose own parser takes paths and addresses for words, is given
them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from trajectories.queries import StoreError
from trajectories.records import Trajectory
from trajectories.storage.schema import metadata

_WORD = re.compile(r"[^\W_]+")
_LONGEST, _MOST_BYTES = 64, 800_000
"""Characters of a word, and bytes of all words of a trajectory, in PostgreSQL, whose vectors hold 1 MiB."""

TABLES = {
    "sqlite": [
        "CREATE VIRTUAL TABLE words USING fts5("
        "said, content='', columnsize=0, detail=none, tokenize='unicode61 remove_diacritics 0')",
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
    "postgresql": sa.text("DELETE FROM words WHERE position = :position"),
}


@sa.event.listens_for(metadata, "after_create")
def _create(_metadata: sa.MetaData, connection: sa.Connection, **_more: Any) -> None:
    if "words" not in sa.inspect(connection).get_table_names():
        for statement in TABLES[connection.dialect.name]:
            connection.exec_driver_sql(statement)


def said_in(trajectory: Trajectory, dialect: str) -> str:
    """What the index of a database is given: for SQLite all texts, for PostgreSQL their words, each once."""
    return "\n".join(_texts(trajectory)) if dialect == "sqlite" else " ".join(_vocabulary(_texts(trajectory)))


def _texts(trajectory: Trajectory) -> Iterator[str]:
    yield trajectory.problem_statement
    for turn in trajectory.turns:
        yield turn.text
        yield turn.observation
        yield from turn.tool_call.arguments.values()
    yield trajectory.patch


def _vocabulary(texts: Iterable[str]) -> Iterable[str]:
    """The different words of all texts, as many as one vector holds."""
    found: dict[str, None] = {}
    size = 0
    for text in texts:
        for word in dict.fromkeys(word[:_LONGEST] for word in _WORD.findall(text.lower())):
            if word not in found:
                size += len(word.encode()) + 1
                if size > _MOST_BYTES:
                    return found
                found[word] = None
    return found


def insert(connection: sa.Connection, position: int, said: str) -> None:
    """Keep what `said_in` gave."""
    if said:
        connection.execute(_INSERT[connection.dialect.name], {"position": position, "said": said})


def delete(connection: sa.Connection, trajectories: Collection[tuple[int, Trajectory]]) -> None:
    """Take those of these trajectories out, each given with its position: SQLite must be told again what was said."""
    dialect = connection.dialect.name
    rows = [{"position": position, "said": said} for position, t in trajectories if (said := said_in(t, dialect))]
    if rows:
        connection.execute(_DELETE[dialect], rows)


def holds(position: sa.ColumnElement[int], text: str) -> sa.ColumnElement[bool]:
    """Whether a trajectory has all words of a text; the last may be a word's beginning, unless a blank follows.

    Raises `StoreError` where there is none.
    """
    asked = _WORD.findall(text)
    if not asked:
        raise StoreError(f"There is no word in {text!r}: search for letters or digits.")
    cut = not text[-1:].isspace()
    # Words hold letters and digits only, so that quoting them is enough.
    fts5 = " ".join(f'"{word}"' for word in asked) + "*" * cut
    *whole, last = (word.lower()[:_LONGEST] for word in asked)
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
