"""A server on this machine that speaks like an OpenAI endpoint, well or badly."""

import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def chat_answer(text, logprobs=None, usage=(10, 2), **choice):
    """A body of /chat/completions. `logprobs`: candidates of the first token."""
    top = [{"token": token, "logprob": value} for token, value in (logprobs or {}).items()]
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **choice}
    if top:
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    used = {"prompt_tokens": usage[0], "completion_tokens": usage[1]} if usage else None
    return {"choices": [choice], "usage": used}


class Bad:
    """What an endpoint may do instead of answering."""

    def __init__(self, status=200, body=b"", headers=None, wait_s=0.0, drop=False, promise=None):
        self.status, self.body, self.headers, self.wait_s = status, body, headers or {}, wait_s
        self.drop, self.promise = drop, promise


@contextmanager
def model_server(answer):
    """Yields (url, requests). `answer`: a function of (body, number of the request), or a list of answers in turn.

    An answer is a JSON value, a text (a chat answer) or a `Bad`. Each request is its body with `path` and `key`.
    """
    requests, lock = [], threading.Lock()
    waiting = list(answer) if isinstance(answer, list) else None

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                requests.append({**body, "path": self.path, "key": self.headers.get("Authorization", "")})
                given = answer(body, len(requests)) if waiting is None else waiting.pop(0)
            if not isinstance(given, Bad):
                given = Bad(body=json.dumps(chat_answer(given) if isinstance(given, str) else given).encode())
            time.sleep(given.wait_s)
            if given.drop:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(given.status)
            length = len(given.body) if given.promise is None else given.promise
            for name, value in {**given.headers, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.body)
            self.close_connection = given.promise is not None

        def log_message(self, *arguments):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):  # a client that went away is no news
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
