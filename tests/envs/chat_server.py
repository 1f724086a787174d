"""A server on this machine that answers like an OpenAI endpoint, from a list or by a function of the request."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def chat_server(answers):
    """Yields its base_url and the requests it got. An answer is a text, `(status, body, headers)`, or raw bytes."""
    requests, waiting = [], None if callable(answers) else list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append({**body, "path": self.path, "key": self.headers.get("Authorization", "")})
            answer = answers(body) if waiting is None else waiting.pop(0)
            status, payload, headers = answer if isinstance(answer, tuple) else (200, answer, {})
            if isinstance(payload, str):
                message = {"choices": [{"message": {"role": "assistant", "content": payload}}]}
                payload = json.dumps({**message, "usage": {"prompt_tokens": 1000, "completion_tokens": 500}}).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
