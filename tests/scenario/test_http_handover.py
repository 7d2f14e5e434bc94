"""A relay is replaced (SIGUSR2) and ends (SIGTERM) under requests of every kind: kept and single connections, HTTP/2, WebSockets. None fails."""
import asyncio
import os
import re
import signal
import socket
import ssl
import threading

import portway
import pytest
import sites
import websockets
from portway import eventually
from test_restarts import successor_of, zombie

HOST = "localhost"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7


def answer_all(conn, _address):
    """/chat is another protocol: what comes goes back. All else is answered with ten bytes."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = conn.recv(65536)
            if not more:
                return
            data += more
        _, data = data.split(b"\r\n\r\n", 1)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")


async def say_again(connection, _path=None):
    async for message in connection:
        await connection.send(message)


class Chats:
    """A WebSocket server and a client of it, each in a thread; the client says something again and again, over one connection."""

    def __init__(self):
        self.loop, self.ready = asyncio.new_event_loop(), threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        assert self.ready.wait(20)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.run_forever()

    async def _serve(self):
        self.server = await websockets.serve(say_again, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.ready.set()

    def call(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    def open(self, port):
        async def connect():
            return await websockets.connect(f"ws://{HOST}:{port}/chat", host="127.0.0.1", compression=None)
        return self.call(connect())

    def say(self, connection, text):
        async def both():
            await connection.send(text)
            return await connection.recv()
        return self.call(both())

    def close(self, connection):
        self.call(connection.close())


class Client:
    """Asks without a pause until told to stop; `wrong` has what was not 200 with ten bytes."""

    def __init__(self, *where):
        self.where, self.over, self.wrong, self.answers, self.opened = where, False, [], 0, 0
        self.last = False  # this connection is the last one
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        while not self.over:
            try:
                self.opened += 1
                self.connection()
            except (OSError, AssertionError) as error:
                self.wrong.append(repr(error))
            self.over = self.over or self.last

    def stop(self):
        self.over = True
        self.thread.join(20)

    def wait(self, more=50):
        wanted = self.answers + more
        eventually(lambda: self.answers >= wanted or self.wrong, f"answers of {type(self).__name__}", 40)
        assert not self.wrong, (type(self).__name__, self.wrong[:3])


class Kept(Client):
    """HTTP/1.1 over a connection that stays as long as the relay keeps it."""
    fields = ""

    def connection(self):
        with portway.connect(self.where[0]) as s:
            s.settimeout(15)
            ends = False
            while not self.over and not ends:
                s.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n{self.fields}\r\n".encode())
                data = b""
                while not re.search(rb"\r\n\r\n.{10}", data, re.S):
                    more = s.recv(65536)
                    assert more, f"the end after {len(data)} bytes"
                    data += more
                assert data.startswith(b"HTTP/1.1 200 "), data
                ends = b"connection: close" in data.lower()
                self.answers += 1


class Single(Kept):
    """A connection for each request."""
    fields = "Connection: close\r\n"


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Two(Client):
    """HTTP/2, one stream after the other, until GOAWAY forbids more."""

    def connection(self):
        port, ca = self.where
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(portway.connect(port), server_hostname=HOST) as s:
            s.settimeout(15)
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
            self.data, self.goes = b"", False
            stream = 1
            while not self.over and not self.goes:
                s.sendall(frame(HEADERS, 5, stream, b"\x82\x87\x84\x41" + bytes([len(HOST)]) + HOST.encode()))
                assert self.finish(s, stream) == 10
                s.sendall(frame(8, 0, 0, (10).to_bytes(4, "big")))
                self.answers += 1
                stream += 2

    def finish(self, s, stream):
        """Bytes of its content."""
        content = 0
        while True:
            while len(self.data) < 9 or len(self.data) < 9 + int.from_bytes(self.data[:3], "big"):
                more = s.recv(65536)
                assert more, "the end of a connection with a stream under way"
                self.data += more
            n = int.from_bytes(self.data[:3], "big")
            kind, flags, of, payload = self.data[3], self.data[4], int.from_bytes(self.data[5:9], "big"), self.data[9:9 + n]
            self.data = self.data[9 + n:]
            if kind == GOAWAY:
                last, self.goes = int.from_bytes(payload[:4], "big"), True
                assert int.from_bytes(payload[4:8], "big") == 0, payload
                assert last >= stream, f"stream {stream} was on its way, and is not taken: the last is {last}"
            elif kind == PING and not flags:
                s.sendall(frame(PING, 1, 0, payload))
            elif kind == SETTINGS and not flags:
                s.sendall(frame(SETTINGS, 1, 0))
            assert kind != 3, f"reset of {of}"
            if kind == DATA and of == stream:
                content += n
            if kind in (DATA, HEADERS) and of == stream and flags & 1:
                return content


@pytest.fixture(name="site")
def served(new_fleet, tmp_path):
    http, tls, authority = portway.free_port(), portway.free_port(), sites.Authority()
    f = new_fleet(relay_env={"RELAYD_HTTP_LISTEN": f"127.0.0.1:{http}", "RELAYD_TLS_LISTEN": f"127.0.0.1:{tls}", "RELAYD_DRAIN_TIMEOUT": "30s"})
    f.http, f.tls, f.ca = http, tls, str(tmp_path / "ca.pem")
    with open(f.ca, "w", encoding="utf-8") as out:
        out.write(authority.chain)
    cert = authority.issue(HOST)
    f.api.post("/api/v1/certificates", {"chain": cert.chain, "key": cert.key_pem}, expect=201)
    f.chats = Chats()
    backend = portway.TcpServer(answer_all)
    for name, port, prefix in (("web", backend.port, "/"), ("chat", f.chats.port, "/chat")):
        f.api.post("/api/pools", {"name": name, "health_check": {"enabled": False}}, expect=201)
        f.api.post("/api/backends", {"address": f"127.0.0.1:{port}", "pool": name}, expect=201)
        f.api.post("/api/routes", {"host": HOST, "path_prefix": prefix, "pool": name, "ssl_enabled": True}, expect=201)
    yield f
    backend.close()


def serves_tls(site):
    context = ssl.create_default_context(cafile=site.ca)
    try:
        context.wrap_socket(portway.connect(site.tls), server_hostname=HOST).close()
        return True
    except OSError:
        return False


def start_clients(site):
    eventually(lambda: serves_tls(site), "TLS is served")
    return [kind(*where) for kind, where in ((Kept, (site.http,)), (Kept, (site.http,)), (Single, (site.http,)), (Two, (site.tls, site.ca)),
                                            (Two, (site.tls, site.ca)))]


def test_a_relay_is_replaced(site):
    clients = start_clients(site)
    chat = site.chats.open(site.http)
    assert site.chats.say(chat, "before") == "before"
    for client in clients:
        client.wait()
    old, pids = site.relay.pid, []
    try:
        for turn in range(2):
            os.kill(old, signal.SIGUSR2)
            new = eventually(lambda: successor_of(site, [site.relay.pid, *pids]), "the successor serves", 40)
            pids.append(new)
            for client in clients:
                client.wait()
            assert site.chats.say(chat, f"turn {turn}") == f"turn {turn}", "it goes on in the process that has it"
            other = site.chats.open(site.http)
            assert site.chats.say(other, "new") == "new"
            site.chats.close(other)
            old = new
        for client in clients:
            client.stop()
        assert all(not client.wrong for client in clients), [client.wrong[:2] for client in clients]
        assert all(client.opened >= 3 for client in clients), "connections moved on"
        site.chats.close(chat)
    finally:
        for client in clients:
            client.over = True
        for pid in pids:
            if not zombie(pid):
                os.kill(pid, signal.SIGTERM)
                eventually(lambda p=pid: zombie(p), "a successor ends", 40)


def test_a_relay_ends(site):
    """Who is connected is served to the end of what he asked for; kept connections are told that they end."""
    clients = [client for client in start_clients(site) if not isinstance(client, Single) or client.stop()]
    chat = site.chats.open(site.http)
    assert site.chats.say(chat, "before") == "before"
    for client in clients:
        client.wait()
        client.last = True
    site.relay.signal(signal.SIGTERM)
    for client in clients:
        client.thread.join(20)
        assert not client.thread.is_alive() and not client.wrong and client.opened == 1, (type(client).__name__, client.wrong[:2])
    assert site.chats.say(chat, "after") == "after", "it has the time that the setting gives"
    site.chats.close(chat)
    eventually(lambda: not site.relay.alive(), "it ends when the last one has", 20)
