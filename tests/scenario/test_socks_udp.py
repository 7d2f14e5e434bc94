"""Datagrams through SOCKS5 (UDP ASSOCIATE): a real name server, who is heard, what may be reached, and when it ends."""
import sys

import pytest
import socks_udp
from agent import AgentFleet
from name_server import name_server
from portway import UdpEcho, eventually, free_port, run
from socks_udp import Association


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        f.start()
        f.box = f.client(name="box")
        f.agent(f.box).wait_up(2)
        yield f
    finally:
        f.stop()


def socks_mapping(fleet, **fields):
    body = {"protocol": "socks5", "source_port": 0, "target_client_id": fleet.box["id"], "allow": ["127.0.0.1"], **fields}
    return fleet.wait_status(fleet.api.post("/api/v1/mappings", body, expect=201)["id"])


def ask(assoc, host, port, data=b"hello"):
    assoc.send(host, port, data)
    return assoc.receive(host, port)


def is_over(assoc):
    try:
        return assoc.tcp.recv(1) == b""
    except ConnectionResetError:
        return True


def test_name_server(fleet, tmp_path):
    made = socks_mapping(fleet)
    with name_server(tmp_path) as port:
        out = run([sys.executable, socks_udp.__file__, str(made["source_port"]), str(port), "a.example.test"])
        assert out.split() == ["192.0.2.1"]
    asked = len(socks_udp.question("a.example.test"))
    stats = fleet.wait_stats(made["id"], packets_received=1, packets_sent=1, bytes_received=asked)
    assert stats["bytes_sent"] > asked


def test_counted_to_the_byte(fleet):
    made = socks_mapping(fleet)
    with UdpEcho() as one, UdpEcho() as two, Association(made["source_port"]) as assoc:
        for size in (1, 100, 1400, 9000, 60000):
            assert ask(assoc, "127.0.0.1", one.port, b"x" * size) == b"x" * size
        # the name is resolved there, and the answer comes from where it was asked
        assert ask(assoc, "localhost", two.port) == b"hello"
        assert ask(assoc, "127.0.0.1", two.port, b"") == b""
        assert len({address for _, address in one.seen}) == 1  # one socket at the agent for each destination
        total = 1 + 100 + 1400 + 9000 + 60000 + 5
        fleet.wait_stats(made["id"], bytes_received=total, bytes_sent=total, packets_received=7, packets_sent=7)


def test_only_its_client_is_heard(fleet):
    made = socks_mapping(fleet)
    with UdpEcho() as server, Association(made["source_port"]) as assoc, assoc.socket() as other, assoc.socket() as early:
        other.bind(("127.0.0.2", 0))
        assoc.send("127.0.0.1", server.port, b"from elsewhere", sock=other)  # before any port is known
        early.sendto(b"no header", assoc.at)  # pins nothing
        assert ask(assoc, "127.0.0.1", server.port) == b"hello"
        assoc.send("127.0.0.1", server.port, b"from another port", sock=early)
        assoc.send("127.0.0.1", server.port, b"part", fragment=1)
        assert ask(assoc, "127.0.0.1", server.port, b"again") == b"again"
        assert [data for data, _ in server.seen] == [b"hello", b"again"]
        fleet.wait_stats(made["id"], packets_received=2, packets_sent=2, dropped_in=4)


def test_what_may_be_reached(fleet):
    with UdpEcho() as server, UdpEcho() as closed:
        made = socks_mapping(fleet, socks_allow=f"127.0.0.0/8:{server.port}")
        with Association(made["source_port"]) as assoc:
            assoc.send("127.0.0.1", closed.port, b"not on the list: the relay sees it")
            assoc.send("localhost", closed.port, b"not on the list: the agent sees it")
            assert ask(assoc, "127.0.0.1", server.port) == b"hello"
            assert ask(assoc, "localhost", server.port) == b"hello"
        fleet.wait_refused(made["id"], destination=1, dial=1)
        assert fleet.stats(made["id"])["dropped_in"] == 0, "counted once, by the reason"
        wide = socks_mapping(fleet, socks_allow="any")
        with Association(wide["source_port"]) as assoc:
            assoc.send("192.0.2.1", server.port, b"the agent's own list wins")
            assert ask(assoc, "127.0.0.1", server.port) == b"hello"
        eventually(lambda: fleet.agents[0].ask()["counters"]["refused_not_allowed"] >= 2, "refused by the agent")
        assert closed.seen == []


def test_ends_with_its_connection(fleet):
    made = socks_mapping(fleet, on_delete="cut")
    with UdpEcho() as server:
        assoc = Association(made["source_port"])
        assert ask(assoc, "127.0.0.1", server.port) == b"hello"
        assoc.tcp.close()
        eventually(lambda: is_refused(assoc), "its port is closed")
        seen = len(server.seen)
        assoc.udp.close()
        with Association(made["source_port"]) as again:
            assert ask(again, "127.0.0.1", server.port) == b"hello"
            assert len(server.seen) == seen + 1
            fleet.api.delete(f"/api/v1/mappings/{made['id']}")
            assert is_over(again)


def is_refused(assoc):
    """A connected socket learns that nobody is there."""
    with assoc.socket() as probe:
        probe.settimeout(1)
        probe.connect(assoc.at)
        try:
            probe.send(b"anybody?")
            probe.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            pass
    return False


def test_idle(fleet):
    made = socks_mapping(fleet, timeouts={"idle": 5})
    with UdpEcho() as server, Association(made["source_port"]) as assoc:
        assert ask(assoc, "127.0.0.1", server.port) == b"hello"
        assert is_over(assoc)


def test_many_destinations(fleet):
    """The one that was silent longest gives way, and is simply a new one when it is asked again."""
    made, servers = socks_mapping(fleet), [UdpEcho() for _ in range(70)]
    with Association(made["source_port"]) as assoc:
        for server in servers:
            assert ask(assoc, "127.0.0.1", server.port) == b"hello"
        for server in (servers[-1], servers[0]):
            assert ask(assoc, "127.0.0.1", server.port) == b"hello"
        assert len({address for _, address in servers[-1].seen}) == 1
        assert len({address for _, address in servers[0].seen}) == 2
        eventually(lambda: fleet.agents[0].ask()["udp"] <= 64, "no more than so many at the agent")
    for server in servers:
        server.close()


def test_behind_a_load_balancer(fleet):
    """Datagrams are heard from the client that the PROXY header names, who sends them to the relay itself."""
    made = socks_mapping(fleet, allow=["127.0.0.3", "2001:db8::7"],
                         accept_proxy_protocol={"enabled": True, "trusted": ["127.0.0.1"]})
    header = b"PROXY TCP4 127.0.0.3 127.0.0.9 1234 1080\r\n"
    with UdpEcho() as server, Association(made["source_port"], first=header) as assoc, assoc.socket() as balancer:
        assoc.udp.bind(("127.0.0.3", 0))
        assoc.send("127.0.0.1", server.port, b"the load balancer's own", sock=balancer)
        assert ask(assoc, "127.0.0.1", server.port) == b"hello"
        assert [data for data, _ in server.seen] == [b"hello"]
    fleet.wait_stats(made["id"], packets_received=1, packets_sent=1, dropped_in=1)
    with Association(made["source_port"], first=b"PROXY TCP6 2001:db8::7 2001:db8::1 1234 1080\r\n") as assoc:
        assert assoc.reply != 0, "it could not send to an address of the other family"


def own_port(fleet, agent, client):
    """A private mapping: its port is on the machine of that client's agent."""
    made = socks_mapping(fleet, source_client_id=client["id"], source_port=free_port(), allow=[])
    eventually(lambda: any(v["mapping"] == made["id"] and v["listening"] for v in agent.ask()["visits"]), "listened on")
    return made


def test_on_a_clients_own_machine(fleet):
    """Its agent takes them, from the program that asked alone, and the relay leads each to its destination."""
    agent, sizes = fleet.agents[0], (0, 1, 1400, 9000, 60000)
    made = own_port(fleet, agent, fleet.box)
    with UdpEcho() as one, UdpEcho() as two:
        with Association(made["source_port"]) as assoc, assoc.socket() as other:
            assert assoc.at[0] == "127.0.0.1"
            other.sendto(b"no header", assoc.at)
            for size in sizes:
                assert ask(assoc, "127.0.0.1", one.port, b"x" * size) == b"x" * size
            assoc.send("127.0.0.1", one.port, b"from another port", sock=other)
            assert ask(assoc, "localhost", two.port) == b"hello"
            assert b"from another port" not in [data for data, _ in one.seen]
            total = sum(sizes) + 5
            fleet.wait_stats(made["id"], bytes_received=total, bytes_sent=total, packets_received=6, packets_sent=6)
            assert agent.ask()["visits_udp"] == 1
            assoc.tcp.close()
            eventually(lambda: is_refused(assoc), "its port is closed")
        eventually(lambda: (agent.ask()["visits_udp"], agent.ask()["udp"]) == (0, 0), "nothing is left over")


def test_where_its_agent_may_not_take_them(fleet):
    """`listen` has the port of the mapping, and no other."""
    client, port = fleet.client(name="narrow"), free_port()
    agent = fleet.agent(client, "narrow", LISTEN=f"127.0.0.1:{port}")
    agent.wait_up(2)
    made = socks_mapping(fleet, source_client_id=client["id"], source_port=port, allow=[])
    eventually(lambda: any(v["mapping"] == made["id"] and v["listening"] for v in agent.ask()["visits"]), "listened on")
    with Association(port) as assoc:
        assert assoc.reply == 2
    fleet.wait_refused(made["id"], destination=1)


def test_words_after_the_request_end_it(fleet):
    made = socks_mapping(fleet)
    with Association(made["source_port"]) as assoc:
        assoc.tcp.sendall(b"more")
        assert is_over(assoc)
