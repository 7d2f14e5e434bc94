"""portway socks: a SOCKS5 port into the network of this machine, for whoever has the login that it prints."""
import subprocess
import sys

import cli
import nat
import pytest
from agent import AgentFleet
from portway import TcpServer, eventually, free_port
from test_quick_tunnels import Quick, mappings, token
from test_socks import page


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start()
    finally:
        f.stop()


def curl(proxy, url):
    return subprocess.run(["curl", "-sS", "-m", "20", "--noproxy", "", "-x", proxy, url], capture_output=True, text=True,
                          timeout=60, check=False)


def test_curl_and_what_is_left(fleet, tmp_path):
    with TcpServer(page) as server:
        with Quick(fleet, tmp_path, "socks", "--json", "--name", "mine") as quick:
            said = quick.said
            assert len(said["user"]) >= 8 and len(said["password"]) >= 16
            proxy = f"socks5h://{said['user']}:{said['password']}@127.0.0.1:{said['port']}"
            assert said["addresses"] == [proxy] and fleet.get(said["mapping"])["name"] == "mine"
            done = curl(proxy, f"http://localhost:{server.port}/")
            assert done.stdout == "hello", done.stderr
            assert curl(proxy.replace(said["password"], "x" * 32), f"http://localhost:{server.port}/").returncode == 97
            assert curl(f"socks5h://127.0.0.1:{said['port']}", f"http://localhost:{server.port}/").returncode == 97
            _, err = quick.end()
            assert quick.process.returncode == 0 and said["password"] not in err
        assert mappings(fleet) == [] and curl(proxy, f"http://localhost:{server.port}/").returncode == 7
        with Quick(fleet, tmp_path, "socks") as text:
            proxy = text.line.strip()
            assert proxy.startswith("socks5h://") and proxy.endswith(f":{said['port']}")
            assert said["password"] not in proxy and curl(proxy, f"http://localhost:{server.port}/").stdout == "hello"
            assert "Ctrl-C ends it." in text.process.stdout.readline()
            text.end()
    assert said["password"] not in fleet.relay.log() and said["password"] not in fleet.controld.log()


def test_what_may_be_reached_and_by_whom(fleet, tmp_path):
    with TcpServer(page) as one, TcpServer(page) as two:
        with Quick(fleet, tmp_path, "socks", "--json", "--allow-to", f"localhost:{one.port}", "--allow", "127.0.0.1") as quick:
            proxy = quick.said["addresses"][0]
            assert curl(proxy, f"http://localhost:{one.port}/").stdout == "hello"
            assert curl(proxy, f"http://localhost:{two.port}/").returncode == 97
            quick.end()
        with Quick(fleet, tmp_path, "socks", "--json", "--allow", "192.0.2.0/24,198.51.100.1") as quick:
            made = fleet.get(quick.said["mapping"])
            assert made["allow"] == ["192.0.2.0/24", "198.51.100.1/32"]
            assert curl(quick.said["addresses"][0], f"http://localhost:{one.port}/").returncode != 0
            eventually(lambda: fleet.stats(made["id"])["connections_refused"] == 1, "refused")
            quick.end()


def test_complaints(fleet, tmp_path):
    env = {"PORTWAY_URL": fleet.controld.base, "XDG_STATE_HOME": str(tmp_path)}
    assert "portway login" in cli.run("socks", status=3, **env)
    mine = {**env, "PORTWAY_TOKEN": token(fleet)}
    assert "allow" in cli.run("socks", "--allow", "everybody", status=1, **mine)
    assert "socks_allow" in cli.run("socks", "--allow-to", "a b:c", status=1, **mine)
    assert mappings(fleet) == []


@pytest.mark.skipif(not nat.possible, reason="makes network namespaces, needs nft and socat")
def test_behind_nat_both_ways(tmp_path):
    """An agent behind a router that masquerades: its network is reached; and curl there reaches another client's."""
    with nat.Nat() as home, TcpServer(page) as server:
        fleet = AgentFleet()
        wrap = ["ip", "netns", "exec", home.home]
        try:
            fleet.outside = f"{nat.OUTSIDE}.1"
            fleet.start()
            box, laptop, inner, local = fleet.client(name="box"), fleet.client(name="laptop"), free_port(), free_port()
            (tmp_path / "page").write_text("at home")
            home.children.append(subprocess.Popen([*wrap, sys.executable, "-m", "http.server", str(inner), "--bind", "127.0.0.1",
                                                   "--directory", str(tmp_path)], stderr=subprocess.DEVNULL))
            fleet.agent(box, "box", wrap=wrap).wait_up(2)
            fleet.agent(laptop, "laptop").wait_up(2)
            made = fleet.api.post("/api/v1/mappings", {"protocol": "socks5", "source_port": 0, "allow": ["127.0.0.1"],
                                                       "target_client_id": box["id"]}, expect=201)
            fleet.wait_status(made["id"])
            at = ["curl", "-sS", "-m", "20", "--noproxy", "", "--socks5-hostname"]
            asked = subprocess.run([*at, f"127.0.0.1:{made['source_port']}", f"http://localhost:{inner}/page"],
                                   capture_output=True, text=True, timeout=60, check=False)
            assert asked.stdout == "at home", asked.stderr
            back = fleet.api.post("/api/v1/mappings", {"protocol": "socks5", "source_port": local, "source_client_id": box["id"],
                                                       "target_client_id": laptop["id"]}, expect=201)
            eventually(lambda: any(v["mapping"] == back["id"] and v["listening"] for v in fleet.agents[0].ask()["visits"]),
                       "listened on at home")
            asked = subprocess.run([*wrap, *at, f"127.0.0.1:{local}", f"http://localhost:{server.port}/"], capture_output=True,
                                   text=True, timeout=60, check=False)
            assert asked.stdout == "hello", asked.stderr
        finally:
            fleet.stop()
