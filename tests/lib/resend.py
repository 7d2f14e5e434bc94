"""Resend that is not there: mails are taken once for each idempotency key; what it refuses, it refuses as the service does."""
import base64
import hashlib
import hmac
import json
import time
import uuid

from fake_http import Answer, Fake, Window

KEY = "re_123456789"
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four!").decode()


class Resend(Fake):
    """`sent`: mails that went out, each once; `limit`: in a second."""

    def __init__(self, limit=0, key=KEY):
        self.sent, self.seen, self.key, self.window, self.running = [], {}, key, Window(limit, 1.0), set()
        super().__init__()

    def error(self, status, name, message="", headers=None):
        return Answer(status, {"statusCode": status, "name": name, "message": message or name}, headers)

    def answer(self, request):
        if (request.method, request.path) != ("POST", "/emails"):
            return self.error(404, "not_found")
        if not request.headers.get("user-agent"):
            return self.error(403, "validation_error", "a User-Agent is needed")
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return self.error(403, "invalid_api_key", "API key is invalid")
        with self.lock:
            wait = self.window.take()
            if wait:
                return self.error(429, "rate_limit_exceeded", "Too many requests", {"retry-after": "1", "ratelimit-remaining": "0"})
            return self._take(request)

    def _take(self, request):
        idempotency, body = request.headers.get("idempotency-key"), json.loads(request.body)
        if idempotency in self.running:
            return self.error(409, "concurrent_idempotent_requests")
        if idempotency in self.seen:
            was, answer = self.seen[idempotency]
            return Answer(200, answer) if was == request.body else self.error(409, "invalid_idempotent_request")
        for field in ("from", "to", "subject"):
            if not body.get(field):
                return self.error(422, "missing_required_field", f"Missing `{field}` field.")
        answer = {"id": str(uuid.uuid4())}
        self.seen[idempotency] = (request.body, answer)
        self.sent.append({**body, "key": idempotency, "id": answer["id"]})
        return Answer(200, answer)


def event(kind, to, secret=SECRET, at=None, **data):
    """Headers and body of what the service posts."""
    body = json.dumps({"type": kind, "created_at": "2026-01-02T03:04:05Z", "data": {"to": to, **data}})
    stamp = str(int(at if at is not None else time.time()))
    key = base64.b64decode(secret[6:])
    digest = hmac.new(key, f"msg_1.{stamp}.{body}".encode(), hashlib.sha256).digest()
    return {"svix-id": "msg_1", "svix-timestamp": stamp, "svix-signature": "v1,AAAA v1," + base64.b64encode(digest).decode(),
            "Content-Type": "application/json"}, body
