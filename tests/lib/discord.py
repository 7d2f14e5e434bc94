"""A Discord of the tests' own: one webhook's side of it, with its limits, its buckets and its bad days."""
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMITS = {"title": 256, "description": 4096, "name": 256, "value": 1024, "text": 2048}
TOTAL, FIELDS, EMBEDS, CONTENT = 6000, 25, 10, 2000


def units(text):
    return len(text.encode("utf-16-le")) // 2


def wrong(message):
    """What Discord would not take, as its nested errors; {} when it takes the message."""
    errors, total = {}, 0

    def refuse(path, code, text):
        at = errors
        for part in path:
            at = at.setdefault(str(part), {})
        at.setdefault("_errors", []).append({"code": code, "message": text})

    def check(path, kind, text):
        nonlocal total
        total += units(text)
        if units(text) > LIMITS[kind]:
            refuse(path, "BASE_TYPE_MAX_LENGTH", f"Must be {LIMITS[kind]} or fewer in length.")
        if kind in ("name", "value") and not text.strip():
            refuse(path, "BASE_TYPE_REQUIRED", "This field is required")

    embeds = message.get("embeds", [])
    if not message.get("content") and not embeds:
        return {"code": 50006, "message": "Cannot send an empty message"}
    if len(embeds) > EMBEDS:
        refuse(["embeds"], "BASE_TYPE_BAD_LENGTH", f"Must be {EMBEDS} or fewer in length.")
    for i, embed in enumerate(embeds):
        check(["embeds", i, "title"], "title", embed.get("title", ""))
        check(["embeds", i, "description"], "description", embed.get("description", ""))
        check(["embeds", i, "footer", "text"], "text", embed.get("footer", {}).get("text", ""))
        if len(embed.get("fields", [])) > FIELDS:
            refuse(["embeds", i, "fields"], "BASE_TYPE_BAD_LENGTH", f"Must be {FIELDS} or fewer in length.")
        for j, field in enumerate(embed.get("fields", [])):
            check(["embeds", i, "fields", j, "name"], "name", field.get("name", ""))
            check(["embeds", i, "fields", j, "value"], "value", field.get("value", ""))
    if total > TOTAL:
        refuse(["embeds"], "MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {TOTAL}")
    return {"code": 50035, "message": "Invalid Form Body", "errors": errors} if errors else {}


class Discord:
    """`messages` were taken. `answers` are given first: (status, headers, body); then it keeps to its bucket."""

    def __init__(self, limit=5, window=0.3):
        self.messages, self.answers, self.calls, self.lock = [], [], [], threading.Lock()
        self.limit, self.window, self.times, self.limited = limit, window, [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    status, headers, answer = outer.take(dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/webhooks/123456/the-secret-token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers, body):
        """Under the lock: what becomes of a call."""
        self.calls.append((time.monotonic(), headers, body))
        if self.answers:
            return self.answers.pop(0)
        now = time.monotonic()
        self.times = [t for t in self.times if now - t < self.window]
        left = self.limit - len(self.times) - 1
        reset = self.window - (now - self.times[0]) if self.times else self.window
        if left < 0:
            self.limited += 1
            text = json.dumps({"message": "You are being rate limited.", "retry_after": round(reset, 3), "global": False})
            return 429, {"Content-Type": "application/json", "Retry-After": "1", "X-RateLimit-Remaining": "0",
                         "X-RateLimit-Reset-After": f"{reset:.3f}", "X-RateLimit-Scope": "user"}, text.encode()
        message = json.loads(body)
        problem = wrong(message)
        if problem:
            return 400, {"Content-Type": "application/json"}, json.dumps(problem).encode()
        self.times.append(now)
        self.messages.append(message)
        return 204, {"X-RateLimit-Limit": str(self.limit), "X-RateLimit-Remaining": str(left),
                     "X-RateLimit-Reset-After": f"{reset:.3f}", "X-RateLimit-Bucket": "abcd"}, b""

    def embeds(self):
        with self.lock:
            return [m["embeds"][0] for m in self.messages]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def field(embed, name):
    return next((f["value"] for f in embed["fields"] if f["name"] == name), None)
