"""Connections that wait for a next request, and descriptors that run short: what is kept for later refuses nobody who comes now."""
import select
import socket
import threading

import h2_peers
import pytest
import routes as routes_
from portway import TcpServer, eventually

HOST, OTHER = "idle.example", "other.example"
NOFILE, SPARE = 300, 64
KEPT, CLIENTS = 100, 180  # more together than the relay may have; either fits


class Backend:
    """Keeps its connections; answers when as many requests are there as it waits for."""

    def __init__(self):
        self.together, self.there, self.lock = 1, 0, threading.Condition()
        self.server = TcpServer(self.talk)
        self.port = self.server.port

    def talk(self, conn, _address):
        data = b""
        while more := conn.recv(65536):
            data += more
            if not data.endswith(b"\r\n\r\n"):
                continue
            data = b""
            with self.lock:
                self.there += 1
                self.lock.notify_all()
                self.lock.wait_for(lambda: self.there >= self.together, 30)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def close(self):
        self.server.close()


@pytest.fixture(name="workers", params=[1, 2], ids=["one worker", "two workers"])
def number_of(request):
    return request.param


@pytest.fixture(name="site")
def served(workers):
    made = routes_.Routes({"RELAYD_BACKENDS_IDLE_TIMEOUT": "120s", "RELAYD_HTTP_IDLE_TIMEOUT": "120s", "RELAYD_DESCRIPTORS_RESERVE": "64"},
                          workers, nofile=NOFILE)
    yield made
    made.stop()


@pytest.fixture(name="backend")
def backend_of():
    made = Backend()
    yield made
    made.close()


def asking(host):
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def connect(site, host=HOST):
    client = socket.create_connection(("127.0.0.1", site.port), timeout=60)
    client.sendall(asking(host))
    return client


def answered(client):
    data = b""
    while not data.endswith(b"\r\n\r\nok"):
        more = client.recv(65536)
        if not more:
            return False
        data += more
        assert data.startswith(b"HTTP/1.1 200 "), data
    return data.startswith(b"HTTP/1.1 200 ")


def is_left(client):
    """The relay has closed it: it is ready for reading, and there is nothing."""
    return bool(select.select([client], [], [], 0)[0]) and client.recv(1) == b""


def now(site):
    return site.relay.metrics()["relayd_http_backends_now"]


def test_idle_connections_give_way(site, backend):
    other = Backend()
    site.put(routes_.pool("p", routes_.backend("b", backend.port)), routes_.route("r", "p", host=HOST),
             routes_.pool("q", routes_.backend("c", other.port)), routes_.route("s", "q", host=OTHER))
    backend.together = KEPT
    clients = [connect(site) for _ in range(KEPT)]
    assert all([answered(client) for client in clients])
    for client in clients:
        client.close()
    eventually(lambda: now(site) >= KEPT - 2, "each of them has left a connection to the backend")
    clients = []
    try:
        for _ in range(CLIENTS):
            clients.append(connect(site, OTHER))
            assert answered(clients[-1]), f"client {len(clients)} is refused"
        assert now(site) <= KEPT - 30
        values = site.relay.metrics()
        assert values["relayd_http_backends_spared_total"] >= 30 and values["relayd_http_resource_total"] == 0
    finally:
        for client in clients:
            client.close()
        other.close()


def test_then_clients_that_rest(site, backend, workers):
    """More connections without a request than there are descriptors: who has rested longest is left, who asks is served."""
    site.put(routes_.pool("p", routes_.backend("b", backend.port)), routes_.route("r", "p", host=HOST))
    before = site.relay.metrics()
    clients, two = [], []
    try:
        for i in range(350):
            threading.Event().wait(0.02)  # a worker that has nothing to give lives on what others give when they look
            if i % 10 == 0:
                two.append(h2_peers.Client(site.port))
                assert two[-1].answer(two[-1].get(HOST))[0] == 200, f"client {i} is refused"
            clients.append(connect(site))
            assert answered(clients[-1]), f"client {i} is refused"
        clients[-1].sendall(asking(HOST))
        assert answered(clients[-1]), "the newest rests undisturbed"
        left = [is_left(client) for client in clients]
        if workers == 1:
            assert all(left[:20]), "the oldest were left"
            with pytest.raises(EOFError):
                two[0].read(lambda: False)
            assert two[0].gone == 0, "and is told so where there is a word for it"
        else:  # each worker leaves its own oldest, and which of them looks first when descriptors are short is chance
            assert sum(left[:175]) > sum(left[175:]) and not any(left[-10:]), left
        eventually(lambda: site.relay.metrics()["relayd_descriptors"] <= (NOFILE - SPARE) * 15 // 16 + 1, "some are free again")
        values = site.relay.metrics()
        assert values["relayd_http_clients_spared_total"] - before["relayd_http_clients_spared_total"] >= 100
        assert values["relayd_http_resource_total"] == before["relayd_http_resource_total"]
    finally:
        for client in clients + two:
            client.close()
