"""Programs nobody here wrote, to services behind NAT over a slow and long way: rate by tbf, delay by a proxy in between."""
import asyncio
import filecmp
import json
import os
import re
import subprocess
import sys

import nat
import postgres
import pytest
import websockets
from agent import AgentFleet
from delay import Delay
from name_server import name_server
from portway import eventually, free_port, program, run
from test_real_tcp_programs import ssh_login, ssh_server

pytestmark = pytest.mark.skipif(not nat.possible, reason="makes network namespaces, needs nft and socat")
MBIT, WAY_S = 40, 0.015
PAGE = "x" * 200_000
WEBSOCKET = """
import asyncio, sys, websockets
async def talk(socket, *_):
    async for message in socket:
        await socket.send(message.upper())
async def main():
    async with websockets.serve(talk, "127.0.0.1", int(sys.argv[1])):
        await asyncio.Future()
asyncio.run(main())
"""


class Far:
    """A home behind NAT whose wire is slow, its agent's links through a long way."""

    def __init__(self, home, fleet, way):
        self.home, self.fleet = home, fleet
        self.wrap = ["ip", "netns", "exec", home.home]
        self.client = fleet.client(name="far")
        self.agent = fleet.agent(self.client, wrap=self.wrap, RELAYS=way.address)
        self.agent.wait_up(2)

    def service(self, argv, port):
        return program([*self.wrap, *argv], lambda: self.home.listening(port), 30)

    def mapping(self, port, **fields):
        return self.fleet.agent_mapping(self.client, port, **fields)

    def gone(self, mapping):
        eventually(lambda: self.fleet.stats(mapping["id"])["connections_active"] == 0, "all connections ended")
        eventually(lambda: self.agent.ask()["tcp"] == 0, "no stream is left")


@pytest.fixture(scope="module")
def far():
    with nat.Nat() as home:
        fleet = AgentFleet()
        try:
            fleet.outside = f"{nat.OUTSIDE}.1"
            fleet.start()
            host, port = fleet.agents_at["edge-1"].rsplit(":", 1)
            with Delay(host, (host, int(port)), WAY_S) as way:
                home.rate(MBIT)
                yield Far(home, fleet, way)
                fleet.agents[0].stop()
        finally:
            fleet.stop()


def test_the_way_is_long(far):
    """Else the others would show nothing."""
    rtt = eventually(lambda: [link["rtt_us"] for link in far.agent.links() if link.get("rtt_us")], "pinged")
    assert all(us >= 2 * WAY_S * 1e6 for us in rtt), rtt


def test_redis_benchmark(far, tmp_path):
    port = free_port()
    with far.service(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
                      str(tmp_path)], port):
        made = far.mapping(port)
        out = run(["redis-benchmark", "-h", "127.0.0.1", "-p", str(made["source_port"]), "-n", "500", "-c", "20", "-P", "4", "-t",
                   "set,get", "-d", "512", "--csv"], 120)
        rates = dict(re.findall(r'^"([^"]+)","([0-9.]+)"', out, re.M))
        assert {"SET", "GET"} <= set(rates) and all(float(v) > 0 for v in rates.values()), out
        far.gone(made)


@pytest.mark.parametrize("reverse", [False, True], ids=["upload", "download"])
def test_iperf3(far, reverse):
    port = free_port()
    with far.service(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)], port):
        made = far.mapping(port)
        argv = ["iperf3", "-c", "127.0.0.1", "-p", str(made["source_port"]), "-n", "8M", "-P", "2", "-J"]
        result = json.loads(run([*argv, *(["-R"] if reverse else [])], 120))
        received = result["end"]["sum_received"]
        assert received["bytes"] > 0 and received["bits_per_second"] < 1.5 * MBIT * 1e6, "the wire is as slow as it should be"
        far.gone(made)


def test_psql_and_a_large_dump(far, tmp_path):
    with postgres.Server(wrap=far.wrap) as server:
        url = server.database()
        server.sql("CREATE TABLE lines AS SELECT n, md5(n::text) || md5((n + 1)::text) AS text FROM generate_series(1, 60000) n", url)
        made = far.mapping(server.port)
        login = {**os.environ, "PGPASSWORD": postgres.PASSWORD, "PGHOST": "127.0.0.1", "PGPORT": str(made["source_port"]),
                 "PGUSER": postgres.USER, "PGDATABASE": url.split("?")[0].rsplit("/", 1)[1]}

        def through(program_name, *argv, **kw):
            return subprocess.run([os.path.join(postgres.BIN, program_name), *argv], env=login, capture_output=True, text=True,
                                  timeout=120, check=True, **kw).stdout

        dump = through("pg_dump", "--no-owner")
        assert len(dump) > 4_000_000
        through("psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", input=dump.replace("public.lines", "public.again"))
        assert through("psql", "-XAt", "-c", "SELECT count(*) FROM lines JOIN again USING (n, text)").strip() == "60000"
        far.gone(made)


def test_ssh(far, tmp_path):
    with ssh_server(tmp_path, lambda argv, port: far.service(argv, port)) as port:
        made = far.mapping(port)
        options, who = ssh_login(tmp_path)
        at = str(made["source_port"])
        assert run(["ssh", *options, "-p", at, who, "echo from far away"]).strip() == "from far away"
        (tmp_path / "file").write_bytes(os.urandom(2 << 20))
        run(["scp", "-q", *options, "-P", at, str(tmp_path / "file"), f"{who}:{tmp_path}/copy"], 120)
        assert filecmp.cmp(tmp_path / "file", tmp_path / "copy", shallow=False)
        far.gone(made)


def test_dns(far, tmp_path):
    with name_server(tmp_path, far.service, families=("127.0.0.1",)) as port:
        made = far.mapping(port, protocol="udp")
        at = ["-p", str(made["source_port"]), "@127.0.0.1"]
        assert run(["dig", "+short", "+time=5", "+tries=3", *at, "a.example.test", "A"]).strip() == "192.0.2.1"
        big = run(["dig", "+short", "+time=5", "+tries=3", "+ignore", "+bufsize=4096", *at, "big.example.test", "TXT"])
        assert big.count("a" * 200) == 1 and big.count("j" * 200) == 1


def test_websocket_client(far):
    port = free_port()
    with far.service([sys.executable, "-c", WEBSOCKET, str(port)], port):
        made = far.mapping(port)

        async def talk():
            async with websockets.connect(f"ws://127.0.0.1:{made['source_port']}/") as socket:
                for n in (1, 1000, 300_000):
                    await socket.send("x" * n)
                    assert await socket.recv() == "X" * n

        asyncio.run(talk())
        far.gone(made)


def test_curl_through_socks5(far, tmp_path):
    port = free_port()
    (tmp_path / "page").write_text(PAGE)
    with far.service([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)], port):
        made = far.fleet.api.post("/api/v1/mappings", {"protocol": "socks5", "source_port": 0, "allow": ["127.0.0.1"],
                                                       "target_client_id": far.client["id"]}, expect=201)
        far.fleet.wait_status(made["id"])
        out = run(["curl", "-sS", "-m", "60", "--noproxy", "", "--socks5-hostname", f"127.0.0.1:{made['source_port']}",
                   f"http://localhost:{port}/page"], 90)
        assert out == PAGE
        far.gone(made)
