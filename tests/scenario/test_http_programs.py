"""A route with real programs: a WebSocket client and server, and slowhttptest, which holds connections open by saying next to nothing."""
import asyncio
import http.client
import os
import re
import shutil
import subprocess

import portway
import pytest
import routes as routes_
from portway import eventually
import websockets


@pytest.fixture(name="site", scope="module")
def served():
    made = routes_.Routes({"RELAYD_HTTP_HEAD_TIMEOUT": "2s", "RELAYD_HTTP_BODY_TIMEOUT": "2s", "RELAYD_HTTP_IDLE_TIMEOUT": "2s",
                           "RELAYD_HOSTS_WAITING_PER_SOURCE": "0"})  # who attacks here has the address of who is served
    yield made
    made.stop()


async def say_again(connection, _path=None):
    async for message in connection:
        await connection.send(message)


async def talk(site):
    async with websockets.serve(say_again, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        site.put(routes_.pool("pw", routes_.backend("bw", port)), routes_.route("rw", "pw", host="ws.example"))
        async with websockets.connect(f"ws://ws.example:{site.port}/chat", host="127.0.0.1", compression=None) as ws:
            for message in ("hello", "x" * 200000, os.urandom(70000)):
                await ws.send(message)
                assert await asyncio.wait_for(ws.recv(), 20) == message
            await asyncio.wait_for(await ws.ping(), 20)


def test_websocket(site):
    asyncio.run(talk(site))


HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 30s
listen one
    bind 127.0.0.1:{port} proto h2
    server chat 127.0.0.1:{behind}
"""


async def talk_through_h2(site, folder):
    async with websockets.serve(say_again, "127.0.0.1", 0) as server:
        port = portway.free_port()
        (folder / "haproxy.cfg").write_text(HAPROXY.format(port=port, behind=server.sockets[0].getsockname()[1]))
        haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")])
        try:
            eventually(portway.listening(port), "haproxy listens")
            site.put(routes_.pool("ph", routes_.backend("bh", port), protocol="h2c"), routes_.route("rh", "ph", host="ws2.example"))
            for _ in range(3):
                async with websockets.connect(f"ws://ws2.example:{site.port}/chat", host="127.0.0.1", compression=None) as ws:
                    for message in ("hello", "x" * 200000, os.urandom(70000)):
                        await ws.send(message)
                        assert await asyncio.wait_for(ws.recv(), 20) == message
                    await asyncio.wait_for(await ws.ping(), 20)
        finally:
            haproxy.kill()
            haproxy.wait()


def test_websocket_to_a_backend_that_speaks_http2(site, tmp_path):
    """From a client that knows HTTP/1.1 to haproxy, which knows RFC 8441, and behind it the same server."""
    assert shutil.which("haproxy"), "haproxy is not installed (make deps)"
    asyncio.run(talk_through_h2(site, tmp_path))


# mode: what it does; its arguments
MODES = {"slow heads": ["-H", "-i", "1", "-t", "GET"], "slow bodies": ["-B", "-i", "1", "-s", "8192", "-t", "POST"],
         "slow readers": ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"], "ranges": ["-R", "-t", "HEAD", "-a", "10", "-b", "3000"]}


@pytest.fixture(name="backend", scope="module")
def backend_of(site):
    port = portway.free_port()
    process = subprocess.Popen([os.path.join(portway.BIN, "benchhttp"), "serve", str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    site.put(routes_.pool("ps", routes_.backend("bs", port)), routes_.route("rs", "ps", host="*"))
    yield port
    process.kill()
    process.wait()


def answers(port):
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    conn.request("GET", "/128")
    answer = conn.getresponse()
    body = answer.read()
    conn.close()
    return answer.status == 200 and len(body) == 128


@pytest.mark.parametrize("mode", MODES)
def test_slowhttptest(site, backend, mode):
    """300 connections that take their time: others are served meanwhile, and these are ended."""
    assert shutil.which("slowhttptest"), "slowhttptest is not installed (make deps)"
    assert backend
    argv = ["slowhttptest", *MODES[mode], "-c", "300", "-r", "150", "-l", "12", "-p", "10", "-u", f"http://127.0.0.1:{site.port}/10240"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "TERM": "dumb"}) as process:
        asked = 0
        while process.poll() is None:
            assert answers(site.port)
            asked += 1
        said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", process.stdout.read())
    assert asked > 10
    assert "service available:   NO" not in said, said[-2000:]
    ends = re.findall(r"Exit status:\s*(.*)", said)
    assert ends, said[-2000:]
    eventually(lambda: site.relay.metrics()["relayd_connections"] < 50, "their connections are ended", 20)
