"""A small and quick HTTP server for fakes of foreign APIs: one thread a connection, answers that are bytes, and the ways in which
servers fail. A fake subclasses Fake and says in answer() what it says."""
import collections
import contextlib
import json
import socket
import threading
import time
import urllib.parse

Request = collections.namedtuple("Request", "method path query headers body")
REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 302: "Found"}


class Answer:
    def __init__(self, status, body=b"", headers=None, kind="application/json"):
        self.status, self.headers, self.kind = status, headers or {}, kind
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    def head(self):
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}", f"Content-Length: {len(self.body)}"]
        if self.body:
            lines.append(f"Content-Type: {self.kind}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Window:
    """A fixed window of requests, as Laravel and others count: what is allowed in it, and how many there were at most."""

    def __init__(self, limit=0, seconds=60.0):
        self.limit, self.seconds, self.begin, self.n, self.most, self.refused = limit, seconds, 0.0, 0, 0, 0

    def take(self):
        """0 when one more is allowed; else the seconds until it is."""
        now = time.monotonic()
        if now - self.begin >= self.seconds:
            self.begin, self.n = now, 0
        if self.limit and self.n >= self.limit:
            self.refused += 1
            return max(self.begin + self.seconds - now, 0.001)
        self.n += 1
        self.most = max(self.most, self.n)
        return 0

    def left(self):
        return max(self.limit - self.n, 0)


class Gate:
    """Requests that a fake takes wait at it, but for as many as are let through."""

    def __init__(self, fake, let=0):
        self.fake, self.cond, self.came, self.through = fake, threading.Condition(), 0, let
        fake.on_request = self._wait

    def _wait(self, _):
        with self.cond:
            self.came += 1
            mine = self.came
            self.cond.notify_all()
            self.cond.wait_for(lambda: mine <= self.through, 60)

    def wait_full(self, seconds=30):
        """Until somebody stands before it."""
        with self.cond:
            assert self.cond.wait_for(lambda: self.came > self.through, seconds), "nobody came"

    def let(self, n):
        """Those that stand there are forgotten: n of those that come are let through."""
        with self.cond:
            self.through = self.came + n
            self.cond.notify_all()

    def open(self):
        with self.cond:
            self.through = 1 << 60
            self.cond.notify_all()
        self.fake.on_request = None


class Fake:
    """`faults`: what goes wrong with the next requests, one each: "cut" (the connection, in the middle of the body), "cut after" (the
    request was done, no answer), "truncate" (a body that ends too early, and says so), "refuse" (no answer at all), ("slow", seconds),
    or an Answer that takes the place of the right one; None is a request that goes well. `on_request` is called before each, and may wait."""

    def __init__(self):
        self.lock = threading.RLock()
        self.requests, self.faults, self.on_request, self.open = [], [], None, set()
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def answer(self, request):
        raise NotImplementedError

    def close(self):
        """Nobody waits at its descriptors any more before they are given back: the next fake's would have the same numbers, and this one
        would answer there."""
        self.sock.shutdown(socket.SHUT_RDWR)
        self.accepting.join()
        self.sock.close()
        with self.lock:
            for conn in self.open:
                with contextlib.suppress(OSError):
                    conn.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def paths(self):
        with self.lock:
            return [r.path for r in self.requests]

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with self.lock:
            self.open.add(conn)
        try:
            with conn, conn.makefile("rb") as reader:
                while self._one(conn, reader):
                    pass
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open.discard(conn)

    def _one(self, conn, reader):
        first = reader.readline().decode("latin-1").split()
        if len(first) != 3:
            return False
        headers = {}
        while (line := reader.readline().decode("latin-1").strip()):
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))
        target = urllib.parse.urlsplit(first[1])
        request = Request(first[0], target.path, dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True)), headers, body)
        if self.on_request:
            self.on_request(request)
        with self.lock:
            self.requests.append(request)
            fault = self.faults.pop(0) if self.faults else None
        return self._send(conn, request, fault)

    def _send(self, conn, request, fault):
        if fault == "refuse":
            return False
        if isinstance(fault, tuple):
            time.sleep(fault[1])
        answer = fault if isinstance(fault, Answer) else self.answer(request)
        if fault == "cut after":
            return False
        head, body = answer.head(), answer.body
        if fault == "cut":
            conn.sendall(head + body[:len(body) // 2])
            return False
        if fault == "truncate":
            answer.body = body[:len(body) * 2 // 3]
            head, body = answer.head(), answer.body
        conn.sendall(head + body)
        return True
