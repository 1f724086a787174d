"""What a database driver's error means to a user.

Invariant: whatever a driver says becomes one sentence that says what to do where that is known, and never holds the
password of the database.
"""

from __future__ import annotations

import re

_SQLITE = {
    "locked": "is locked by another process for more than {timeout:g} s: end it, or try again",
    "full": "cannot be written because the disk is full: free some space; what was stored before is intact",
    "disk I/O": "cannot be read or written (disk error, full disk or size limit): check the disk; "
    "what was stored before is intact",
    "readonly": "cannot be written: its file or folder is read-only",
    "malformed": "is damaged: restore a copy, or move it away and start a new one",
    "not a database": "is not a database: give another place",
    "unable to open": "cannot be opened: check that the folder exists and may be written",
}
_POSTGRESQL = {
    "No module named 'psycopg'": "needs the driver for PostgreSQL: pip install 'contextrl[postgres]'",
    "no pq wrapper available": "needs the library of PostgreSQL's clients: pip install 'contextrl[postgres]'",
    "password authentication failed": "does not accept this user and password: check both in its URL",
    "no password supplied": "wants a password: give one in its URL, postgresql://USER:PASSWORD@HOST/DATABASE",
    "no pg_hba.conf entry": "does not let this user in from here: check the user, the database and pg_hba.conf",
    'role ".*" (does not exist|is not permitted)': "knows no such user: check the user in its URL, or create it",
    'database ".*" does not exist': "is not there: check the database's name in its URL, or create it",
    "failed to resolve host": "cannot be reached, because its host is not known: check the host in its URL",
    "Connection refused": "cannot be reached: start the server, or check host and port in its URL",
    "No such file or directory": "cannot be reached: start the server, or give a host in its URL",
    "timeout expired": "does not answer: check host and port in its URL, and that the server is up",
    "starting up": "is starting up: try again in a moment",
    "too many clients": "has no connection left: end other programs, or raise max_connections",
    "lock timeout": "is locked by another process for more than {timeout:g} s: end it, or try again",
    "No space left": "cannot be written because the server's disk is full: free some space; "
    "what was stored before is intact",
    "permission denied": "does not let this user make or change tables: grant the rights, or take another user",
    "out of range": "cannot hold so large a number: its columns have 32 bits",
    "read-only transaction": "cannot be written: it is a read-only copy; give the URL of the main server",
    "server closed the connection": "ended the connection: see the server's log, then try again",
}


def explain(error: Exception, where: str, kind: str, timeout_s: float) -> str:
    """One sentence. `where`: the store's name in messages; `kind`: SQLAlchemy's name of the database."""
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    said = text.splitlines()[0].strip().rstrip(".")
    causes = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}.get(kind, {})
    for sign, cause in causes.items():
        if re.search(sign, text):
            return f"The trajectory store {where} {cause.format(timeout=timeout_s)} ({said})."
    return f"The trajectory store {where} failed: {said}."
