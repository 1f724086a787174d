"""Pairs, and a server that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trajectories.records import MASK, ContextPair, ContextTurn, MaskedContext

Respond = Callable[[str, dict[str, Any]], tuple[int, Any]]
"""Path and body -> status and answer."""


def context(words: str, *, instance_id: str = "", evidence: int | None = None, turns: int = 3) -> MaskedContext:
    shown = [
        ContextTurn(text=f"view {i}", observation=f"{words} {i}\n" * 6, evidence="it matters" if i == evidence else "")
        for i in range(turns)
    ]
    return MaskedContext(
        trajectory_id=words,
        instance_id=instance_id,
        problem_statement=f"fix {words}",
        turns=[*shown, ContextTurn(text=f"edit {MASK}", edits=True)],
    )


def pair(number: int, **fields: Any) -> ContextPair:
    """Pairs 2k and 2k + 1 are about one function."""
    given = {"repo": "r", "function": f"f.py::g{number // 2}", "judgement": "valid", "similarity": 0.95} | fields
    given = {"answer": f"return {number}"} | given
    turns = given.pop("turns", 3)
    ids = given.pop("instance_id", f"r.0123abcd.{'loop' if number % 2 else 'swap'}__{number:08x}")
    return ContextPair(
        id=f"p{number}",
        base_commit="0" * 40,
        file="f.py",
        anchor=context(f"good {number}", instance_id=ids, evidence=0, turns=turns),
        confounder=context(f"bad {number}", instance_id=f"other-{number}", turns=turns),
        **given,
    )


def write_pairs(path, pairs) -> str:
    path.write_text("".join(p.model_dump_json() + "\n" for p in pairs))
    return str(path)


@contextmanager
def server(respond: Respond) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its URL without a path, and the requests that it got."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(body | {"path": self.path})
            self.answer(*respond(self.path, body))

        def do_GET(self) -> None:
            self.answer(*respond(self.path, {}))

        def answer(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", requests
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def chat_answer(text: str, top: dict[str, float] | None = None) -> dict[str, Any]:
    listed = [{"token": token, "logprob": value} for token, value in (top or {}).items()]
    first = {"token": text[:1], "logprob": 0.0, "top_logprobs": listed}
    logprobs = {"content": [first]} if top else None
    message = {"role": "assistant", "content": text}
    return {"choices": [{"message": message, "finish_reason": "stop", "logprobs": logprobs}], "usage": {}}
