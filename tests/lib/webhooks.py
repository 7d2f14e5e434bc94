"""Who is told by webhooks."""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """A program of a user's. `answers` are given one after the other, then 204; all that came is kept."""

    def __init__(self):
        self.got, self.answers, self.lock, self.hold = [], [], threading.Lock(), None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    status, headers = outer.answers.pop(0) if outer.answers else (204, {})
                    outer.got.append((status, dict(self.headers), body))
                if outer.hold:
                    outer.hold.wait(30)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def taken(self, event=None):
        """Bodies that were answered well, in the order in which they came."""
        with self.lock:
            bodies = [json.loads(body) for status, _, body in self.got if status < 300]
        return [b for b in bodies if event in (None, b["event"])]

    def close(self):
        if self.hold:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()
