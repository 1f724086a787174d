"""The index of words: which trajectories say something.

Invariant: a trajectory's words are written and taken out in the transaction of its row. A word is a run of letters
and digits in any alphabet, without regard to case, its first 64 characters; both databases are given words, never
text, so that they find the same. SQLite keeps them in an FTS5 table without contents, PostgreSQL as search vectors.
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
_ONLY_WORDS = {code: " " for code in range(128) if not chr(code).isalnum()}
_LONGEST = 64
_MOST_BYTES = 800_000
"""Of all words of a trajectory: a vector of PostgreSQL holds 1 MiB. What comes later is not found."""

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
    "sqlite": sa.text("INSERT INTO words (rowid, said) VALUES (:position, :words)"),
    "postgresql": sa.text(
        "INSERT INTO words (position, said) VALUES (:position, array_to_tsvector(string_to_array(:words, ' ')))"
    ),
}
_DELETE = {
    "sqlite": sa.text("INSERT INTO words (words, rowid, said) VALUES ('delete', :position, :words)"),
    "postgresql": sa.text("DELETE FROM words WHERE position = :position"),
}


@sa.event.listens_for(metadata, "after_create")
def _create(_metadata: sa.MetaData, connection: sa.Connection, **_more: Any) -> None:
    if "words" not in sa.inspect(connection).get_table_names():
        for statement in TABLES[connection.dialect.name]:
            connection.exec_driver_sql(statement)


def words_of(trajectory: Trajectory) -> str:
    """The words that a trajectory is found by, each once, with blanks between them."""
    found: dict[str, None] = {}
    size = 0
    for text in _texts(trajectory):
        for word in _words(text):
            if word not in found:
                size += len(word) + 1 if word.isascii() else len(word.encode()) + 1
                if size > _MOST_BYTES:
                    return " ".join(found)
                found[word] = None
    return " ".join(found)


def _texts(trajectory: Trajectory) -> Iterator[str]:
    yield trajectory.problem_statement
    for turn in trajectory.turns:
        yield turn.text
        yield turn.observation
        yield from turn.tool_call.arguments.values()
    yield trajectory.patch


def _words(text: str) -> Iterable[str]:
    """Distinct within the text. Without other than ASCII characters there is a way that takes a third of the time."""
    low = text.lower()
    found = dict.fromkeys(low.translate(_ONLY_WORDS).split() if low.isascii() else _WORD.findall(low))
    return dict.fromkeys(word[:_LONGEST] for word in found)


def insert(connection: sa.Connection, position: int, words: str) -> None:
    """Keep them. Without any there is nothing to keep."""
    if words:
        connection.execute(_INSERT[connection.dialect.name], {"position": position, "words": words})


def delete(connection: sa.Connection, trajectories: Collection[tuple[int, Trajectory]]) -> None:
    """Take those of these trajectories out, each given with its position: the index does not know what it was given."""
    rows = [{"position": position, "words": said} for position, t in trajectories if (said := words_of(t))]
    if rows:
        connection.execute(_DELETE[connection.dialect.name], rows)


def holds(position: sa.ColumnElement[int], text: str) -> sa.ColumnElement[bool]:
    """Whether a trajectory has all words of a text; the last may be a word's beginning, unless a blank follows.

    Raises `StoreError` where there is none.
    """
    asked = list(_words(" ".join(reversed(_WORD.findall(text)))))[::-1]  # of a word that is there twice the last stays
    if not asked:
        raise StoreError(f"There is no word in {text!r}: search for letters or digits.")
    *whole, last = asked
    cut = not text[-1:].isspace()
    # Words hold letters and digits only, so that quoting them is enough.
    fts5 = " ".join([*(f'"{word}"' for word in whole), f'"{last}"{"*" * cut}'])
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
