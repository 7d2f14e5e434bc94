"""A backend is killed under load: clients see no error that a retry can hide, and events tell that it went and came back."""
import datetime
import http.client
import os
import subprocess
import threading
import time

import portway
import pytest
from portway import eventually

HOST = "dies.example"


class Backend:
    """benchhttp, which can be killed as a machine dies: no goodbye, then nobody listens."""

    def __init__(self):
        self.port = portway.free_port()
        self.start()

    def start(self):
        self.process = subprocess.Popen([os.path.join(portway.BIN, "benchhttp"), "serve", f"{self.port},2000,8"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Clients:
    """Some that ask one after the other over connections that stay, until told to stop."""

    def __init__(self, port, n=8):
        self.port, self.stopping, self.errors, self.done = port, False, [], 0
        self.threads = [threading.Thread(target=self.ask) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stopping:
            try:
                conn.request("GET", "/128", headers={"Host": HOST})
                answer = conn.getresponse()
                body = answer.read()
                if answer.status != 200 or len(body) != 128:
                    self.errors.append(f"{answer.status}: {body[:200]}")
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                conn.close()
            self.done += 1
        conn.close()

    def more(self, n):
        """That many more were answered."""
        wanted = self.done + n
        eventually(lambda: self.done >= wanted, f"{n} more answers", 30)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


@pytest.fixture(name="relay")
def served(new_fleet):
    port = portway.free_port()
    fleet = new_fleet(relay_env={"RELAYD_HTTP_LISTEN": f"127.0.0.1:{port}", "RELAYD_HTTP_TRUSTED_PROXIES": ""})
    fleet.http_port = port
    return fleet


def events(fleet, backend):
    rows = fleet.api.get(f"/api/v1/audit?kind=backend&subject={backend}")["items"]
    return [row["object"] for row in sorted(rows, key=lambda row: row["seq"]) if row["op"] == "health_changed"]


def status(fleet, backend):
    return fleet.api.get(f"/api/backends/{backend}")["status"]


def test_a_backend_dies_and_comes_back(relay):
    backends = [Backend() for _ in range(3)]
    relay.api.post("/api/pools", {"name": "web", "algorithm": "least_connections", "slow_start": "3s",
                                  "health_check": {"type": "http", "path": "/128", "interval": "1s", "timeout": "1s", "rise": 2, "fall": 2},
                                  "outlier": {"consecutive_errors": 3, "ejection_time": "1s", "max_ejected_percent": 50},
                                  "retry_budget": {"percent": 100, "per_second": 1000}}, expect=201)
    ids = [relay.api.post("/api/backends", {"address": f"127.0.0.1:{b.port}", "pool": "web", "weight": 100}, expect=201)["id"] for b in backends]
    relay.api.post("/api/routes", {"host": HOST, "path_prefix": "/", "pool": "web", "retries": {"max": 3, "on": ["connect", "reset"]}}, expect=201)
    eventually(lambda: [status(relay, i) for i in ids] == ["healthy"] * 3, "all are checked")
    clients = Clients(relay.http_port)
    try:
        clients.more(200)
        backends[1].kill()
        clients.more(500)
        eventually(lambda: status(relay, ids[1]) == "unhealthy", "it is known to be down")
        gone = eventually(lambda: next((e for e in events(relay, ids[1]) if e["current_status"] in ("ejected", "unhealthy")), None), "an event")
        assert gone["address"] == f"127.0.0.1:{backends[1].port}" and gone["pool"] == "web" and gone["health_check_details"]["error"], gone
        clients.more(200)
        backends[1].start()
        eventually(lambda: status(relay, ids[1]) == "healthy", "it is back")
        back = eventually(lambda: next((e for e in events(relay, ids[1]) if e["current_status"] == "healthy" and e["previous_status"] != "unknown"), None),
                          "an event of its return", 40)
        assert back["previous_status"] in ("ejected", "unhealthy") and back["slow_start_ends"] > back["since"], back
        clients.more(500)
    finally:
        clients.stop()
        for backend in backends:
            backend.kill()
    assert not clients.errors, clients.errors[:5]


class Fickle:
    """Answers with its name, and the status of the moment."""

    def __init__(self, name):
        self.name, self.status, self.asked, self.port, self.server = name, 200, 0, portway.free_port(), None

    def start(self):
        self.server = portway.TcpServer(self.serve, port=self.port)
        return self

    def serve(self, conn, _address):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = conn.recv(65536)
                if not more:
                    return
                data += more
            data = data.split(b"\r\n\r\n", 1)[1]
            self.asked += 1
            conn.sendall(f"HTTP/1.1 {self.status} x\r\nContent-Length: {len(self.name)}\r\n\r\n{self.name}".encode())


def serve(relay, name, webs, retries=0, **fields):
    relay.api.post("/api/pools", {"name": name, **fields}, expect=201)
    ids = [relay.api.post("/api/backends", {"address": f"127.0.0.1:{w.port}", "pool": name}, expect=201)["id"] for w in webs]
    relay.api.post("/api/routes", {"host": HOST, "path_prefix": "/", "pool": name, "retries": {"max": retries, "on": ["5xx", "connect"]}}, expect=201)
    return ids


def share_of(relay, name, n=200):
    """Of the answers to so many requests, in percent; none may fail."""
    conn, got = http.client.HTTPConnection("127.0.0.1", relay.http_port, timeout=60), 0
    for _ in range(n):
        conn.request("GET", "/", headers={"Host": HOST})
        answer = conn.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, (answer.status, body)
        got += body == name
    conn.close()
    return 100 * got / n


def wait_event(relay, backend, current, previous, seconds=40):
    return eventually(lambda: next((e for e in events(relay, backend) if (e["current_status"], e["previous_status"]) == (current, previous)), None),
                      f"{previous} > {current}", seconds)


def test_ejected_by_its_answers_alone(relay):
    """Nobody checks: three bad answers put it aside for its time, retries hide them, and events tell both."""
    good, bad = Fickle("good").start(), Fickle("bad").start()
    ids = serve(relay, "eject", [good, bad], retries=2, health_check={"enabled": False},
                outlier={"consecutive_errors": 3, "ejection_time": "20s", "max_ejected_percent": 50}, retry_budget={"percent": 100, "per_second": 1000})
    assert 30 < share_of(relay, "bad") < 70
    bad.status = 503
    assert share_of(relay, "bad") == 0
    gone = wait_event(relay, ids[1], "ejected", "unknown")
    assert gone["health_check_details"]["error"] == "3 failures in a row" and gone["nodes"][0]["status"] == "ejected", gone
    assert status(relay, ids[1]) == "unhealthy" and status(relay, ids[0]) == "unknown"
    bad.status, asked = 200, bad.asked
    assert share_of(relay, "bad") == 0 and bad.asked == asked, "it is aside for its time"
    back = wait_event(relay, ids[1], "unknown", "ejected")
    assert back["health_check_details"]["error"] is None, back
    assert 30 < share_of(relay, "bad") < 70


def test_slow_start_alone(relay):
    """It comes back, and gets its share by and by, until the time that the event tells."""
    other, late = Fickle("other").start(), Fickle("late")
    ids = serve(relay, "slow", [other, late], algorithm="weighted_round_robin", slow_start="8s",
                health_check={"type": "tcp", "interval": "1s", "timeout": "1s", "rise": 1, "fall": 1})
    wait_event(relay, ids[1], "unhealthy", "unknown")
    assert share_of(relay, "late") == 0
    late.start()
    eventually(lambda: share_of(relay, "late", 20) > 0, "it is used again", 20)
    first, measured = share_of(relay, "late", 100), datetime.datetime.now(datetime.timezone.utc)
    back = wait_event(relay, ids[1], "healthy", "unhealthy")
    ends = datetime.datetime.fromisoformat(back["slow_start_ends"])
    began = datetime.datetime.fromisoformat(back["since"])
    assert (ends - began).total_seconds() == 8, back
    eventually(lambda: datetime.datetime.now(datetime.timezone.utc) > ends, "the end of the slow start", 20)
    weight = min(1.0, 0.1 + (measured - began).total_seconds() / 8)  # at the end of these hundred, beside the other one's 1
    assert first < 10 + 100 * weight / (1 + weight), (first, weight)
    assert 45 <= share_of(relay, "late") <= 55


def test_all_backends_die(relay):
    """Nothing to retry with: the answers are 502 or 503, at once, and end when one is back."""
    backend = Backend()
    relay.api.post("/api/pools", {"name": "one", "health_check": {"type": "tcp", "interval": "1s", "timeout": "1s", "rise": 1, "fall": 1}}, expect=201)
    one = relay.api.post("/api/backends", {"address": f"127.0.0.1:{backend.port}", "pool": "one"}, expect=201)["id"]
    relay.api.post("/api/routes", {"host": HOST, "path_prefix": "/", "pool": "one"}, expect=201)

    def ask():
        conn = http.client.HTTPConnection("127.0.0.1", relay.http_port, timeout=60)
        conn.request("GET", "/128", headers={"Host": HOST, "Accept": "application/json"})
        answer = conn.getresponse()
        body = answer.read()
        conn.close()
        return answer, body
    eventually(lambda: ask()[0].status == 200, "it is served")
    backend.kill()
    answer, body = eventually(lambda: next((a for a in [ask()] if a[0].status in (502, 503)), None), "nobody is there")
    assert answer.headers["Content-Type"] == "application/json" and answer.headers["X-Request-ID"].encode() in body, body
    eventually(lambda: status(relay, one) == "unhealthy", "it is known to be down")
    began = time.monotonic()
    assert ask()[0].status == 503 and time.monotonic() - began < 10
    backend.start()
    eventually(lambda: ask()[0].status == 200, "it is served again")
    backend.kill()
