"""Connections through an agent on shared links and on links of their own: the same bytes and ends; and what differs."""
import itertools
import os
import socket
import struct
import threading
import time

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually, receive_all

WORKERS = 2
RESERVE = 2
TRANSPORTS = ["mux", "dedicated"]
MANY = 100
EACH = 16384  # fits the buffers on the way, so that all can be sent before any is read
TURNS = 5


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_WORKERS": str(WORKERS), "RELAYD_AGENTS_RESERVE": str(RESERVE), "RELAYD_AGENTS_BACKOFF": "1s"})
    finally:
        f.stop()


@pytest.fixture(scope="module")
def client(fleet):
    return fleet.client(name="box")


@pytest.fixture(scope="module")
def agent(fleet, client):
    made = fleet.agent(client)
    made.wait_up(WORKERS)
    return made


def own_links(agent):
    relay = agent.ask()["relays"][0]
    return relay["own_links_ready"], relay["own_links_used"]


def wait_ready(agent):
    eventually(lambda: own_links(agent) == (WORKERS * RESERVE, 0), "own links are ready")


def streams(fleet):
    metrics = fleet.relay.metrics()
    return metrics["relayd_agent_streams_alone_total"], metrics["relayd_agent_streams_not_alone_total"]


@pytest.fixture(params=TRANSPORTS)
def transport(request, fleet, agent):
    """With "dedicated", that it was: each connection of the test had a link of its own."""
    before = streams(fleet)
    yield request.param
    alone, not_alone = (now - then for now, then in zip(streams(fleet), before))
    assert not_alone == 0
    assert (alone > 0) == (request.param == "dedicated")


def mapping(fleet, client, agent, server, transport):
    made = fleet.agent_mapping(client, server.port, transport=transport)
    if transport == "dedicated":
        wait_ready(agent)
    return made


def travelled(agent):
    return sum(link["bytes_in"] + link["bytes_out"] for link in agent.links())


def reset_on_close(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_client_ends_first(fleet, client, agent, transport):
    data = os.urandom(2_000_000)
    with TcpServer(echo) as server:
        made = mapping(fleet, client, agent, server, transport)
        for _ in range(3):
            with connect(made["source_port"]) as sock:
                sock.settimeout(20)
                sock.sendall(data[:1000])
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock) == data[:1000]
        with connect(made["source_port"]) as sock:
            sock.settimeout(20)
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == data
        fleet.wait_stats(made["id"], bytes_received=len(data) + 3000, bytes_sent=len(data) + 3000, connections_active=0)


def test_target_ends_first(fleet, client, agent, transport):
    taken = []

    def say_and_listen(conn, _address):
        conn.sendall(b"greeting")
        conn.shutdown(socket.SHUT_WR)
        taken.append(receive_all(conn))

    with TcpServer(say_and_listen) as server:
        made = mapping(fleet, client, agent, server, transport)
        with connect(made["source_port"]) as sock:
            sock.settimeout(20)
            assert receive_all(sock) == b"greeting"
            sock.sendall(b"still heard")
        eventually(lambda: taken == [b"still heard"], "the other way is open")


def test_target_resets(fleet, client, agent, transport):
    def hang_up(conn, _address):
        conn.recv(1)
        reset_on_close(conn)

    with TcpServer(hang_up) as server:
        made = mapping(fleet, client, agent, server, transport)
        with connect(made["source_port"]) as sock:
            sock.settimeout(20)
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_client_resets(fleet, client, agent, transport):
    ends = []

    def wait_for_end(conn, _address):
        conn.settimeout(20)
        try:
            while conn.recv(4096):
                pass
            ends.append("end")
        except ConnectionResetError:
            ends.append("reset")

    with TcpServer(wait_for_end) as server:
        made = mapping(fleet, client, agent, server, transport)
        sock = connect(made["source_port"])
        sock.sendall(b"x")
        fleet.wait_stats(made["id"], connections_active=1)
        reset_on_close(sock)
        sock.close()
        eventually(lambda: ends == ["reset"], "the target learns of the reset")


def test_own_links_come_back(fleet, client, agent):
    """As many are ready as before, and a connection beyond them shares a link: none is refused for lack of one."""
    with TcpServer(echo) as server:
        made = mapping(fleet, client, agent, server, "dedicated")
        socks = [connect(made["source_port"]) for _ in range(3 * WORKERS * RESERVE)]
        for sock in socks:
            sock.settimeout(20)
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
        assert own_links(agent)[1] > 0
        eventually(lambda: own_links(agent)[0] == WORKERS * RESERVE, "taken ones are replaced")
        for sock in socks:
            sock.close()
        wait_ready(agent)


def test_none_are_kept_for_nobody(fleet):
    """They are there before the first connection, and go when no mapping wants them and none of them was ever used."""
    client = fleet.client(name="other")
    agent = fleet.agent(client, "other")
    agent.wait_up(WORKERS)
    with TcpServer(echo) as server:
        made = mapping(fleet, client, agent, server, "dedicated")
        fleet.api.put(f"/api/v1/mappings/{made['id']}", {"transport": "mux"})
        eventually(lambda: own_links(agent) == (0, 0), "own links are closed")


def test_a_killed_agent_has_them_again(fleet):
    client = fleet.client(name="third")
    agent = fleet.agent(client, "third")
    with TcpServer(echo) as server:
        made = mapping(fleet, client, agent, server, "dedicated")
        agent.kill()
        agent.start()
        wait_ready(agent)
        with connect(made["source_port"]) as sock:
            sock.settimeout(20)
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
            assert own_links(agent)[1] == 1


def test_what_carries_much_goes_alone(fleet, client, agent):
    """Nothing was set: connections share links until those of the mapping have carried much."""
    data = bytes(4_000_000)
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port)

        def carry():
            with connect(made["source_port"]) as sock:
                sock.settimeout(20)
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock) == data
            return streams(fleet)[0] > before[0]

        before = streams(fleet)
        eventually(carry, "one goes alone", 60)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_compressed(fleet, client, agent, transport):
    """Few bytes travel, the same ones arrive and are counted; what does not get smaller arrives as well."""
    text = b"".join(b"line %d of a log that says much the same\n" % i for i in range(100_000))
    noise = os.urandom(3_000_000)
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port, transport=transport, compression="zstd")
        before = travelled(agent)
        for data in (text, b"short", noise, text + noise + text):
            with connect(made["source_port"]) as sock:
                sock.settimeout(20)
                thread = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
                thread.start()
                assert receive_all(sock) == data
                thread.join()
        total = 3 * len(text) + 2 * len(noise) + 5
        fleet.wait_stats(made["id"], bytes_received=total, bytes_sent=total, connections_active=0)
    if transport == "mux":
        assert travelled(agent) - before < 2 * (2 * len(noise) + len(text))


def test_who_is_refused_takes_no_link(fleet):
    """A connection that its client has no room for leaves the links that wait for others as they were."""
    client = fleet.client(name="full", config={"max_connections": 1})
    agent = fleet.agent(client, "full")
    agent.wait_up(WORKERS)
    with TcpServer(echo) as server:
        made = mapping(fleet, client, agent, server, "dedicated")
        before = streams(fleet)
        with connect(made["source_port"]) as held:
            held.sendall(b"x")
            assert held.recv(1) == b"x"
            for _ in range(4 * WORKERS * RESERVE):
                with pytest.raises(ConnectionResetError), connect(made["source_port"]) as sock:
                    sock.recv(1)
        fleet.wait_stats(made["id"], connections_active=0)
        fleet.wait_refused(made["id"], limit=4 * WORKERS * RESERVE)
        with connect(made["source_port"]) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        assert streams(fleet) == (before[0] + 2, before[1])  # the two that were let in, each on its own


def test_compressed_by_the_client_s_config(fleet):
    """`enable_compression` switches it on and off for mappings that do not ask for it, of connections that come then."""
    client = fleet.client(name="squeezed", config={"enable_compression": True})
    agent = fleet.agent(client, "squeezed")
    agent.wait_up(WORKERS)
    text = b"a log that says the same all the time\n" * 30_000
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port, transport="mux")

        def pass_text():
            before = travelled(agent)
            with connect(made["source_port"]) as sock:
                sock.settimeout(20)
                thread = threading.Thread(target=lambda: (sock.sendall(text), sock.shutdown(socket.SHUT_WR)))
                thread.start()
                assert receive_all(sock) == text
                thread.join()
            return travelled(agent) - before

        assert pass_text() < len(text) / 2
        fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"enable_compression": False})
        eventually(lambda: pass_text() > 2 * len(text), "it passes as it is")
        fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"enable_compression": True})
        eventually(lambda: pass_text() < len(text) / 2, "it is compressed again")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_that_the_client_s_config_closes_later(fleet, protocol):
    """The mapping's status and error say that it is the client's config, and what is refused is counted so; until it is open again."""
    client = fleet.client(name="narrowed-" + protocol)
    agent = fleet.agent(client, "narrowed-" + protocol)
    agent.wait_up(WORKERS)
    url = f"/api/v1/clients/{client['id']}/config"
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port, protocol=protocol)
        fleet.api.put(url, {"blocked_ports": [server.port]})
        found = eventually(lambda: (lambda m: m if m["status"] == "error" else None)(fleet.get(made["id"])), "it is told")
        error = found["error"]["edge-1"]
        assert error["code"] == "TARGET_NOT_ALLOWED" and str(server.port) in error["message"] and "blocked_ports" in error["message"]
        if protocol == "tcp":
            with pytest.raises(ConnectionResetError), connect(made["source_port"]) as sock:
                sock.recv(1)
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", ("127.0.0.1", made["source_port"]))
                fleet.wait_refused(made["id"], destination=1)
        fleet.wait_refused(made["id"], destination=1)
        fleet.api.put(url, {"blocked_ports": []})
        eventually(lambda: fleet.get(made["id"])["status"] == "active" and fleet.get(made["id"])["error"] is None, "it is well again")
        if protocol == "tcp":
            with connect(made["source_port"]) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"


def seconds_for_all(socks, mark):
    """How long it takes until each has its bytes back."""
    text = bytes([mark]) * EACH
    began = time.monotonic()
    for sock in socks:
        sock.sendall(text)
    for sock in socks:
        got = b""
        while len(got) < EACH:
            piece = sock.recv(EACH - len(got))
            assert piece, "ended"
            got += piece
        assert got == text
    return time.monotonic() - began


def throughput(socks, enough=0.0):
    """Bytes a second of all together, the best of some turns: what the machine does besides slows single ones. More turns until it
    is enough, for a minute."""
    end, best = time.monotonic() + 60, 0.0
    for turn in itertools.count():
        best = max(best, MANY * EACH / seconds_for_all(socks, turn % 256))
        if turn + 1 >= TURNS and (best >= enough or time.monotonic() > end):
            return best


@pytest.mark.parametrize("stalled", TRANSPORTS)
def test_a_stalled_one_among_many(fleet, client, agent, stalled):
    """A reader that stops stops nobody else, nor slows them: they have at least half of what they had without it."""
    sent = [0]

    def send_for_ever(conn, _address):
        try:
            while True:
                sent[0] += conn.send(bytes(65536))
        except OSError:
            pass

    def stands():
        before = sent[0]
        time.sleep(0.3)  # what is waited for is that nothing happens
        return 0 < before == sent[0]

    with TcpServer(send_for_ever) as source, TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port, transport="mux")
        socks = [connect(made["source_port"]) for _ in range(MANY)]
        for sock in socks:
            sock.settimeout(20)
        without = throughput(socks)
        never_read = connect(fleet.agent_mapping(client, source.port, transport=stalled)["source_port"])
        eventually(stands, "the stream that nobody reads has stopped its sender")
        beside = throughput(socks, without / 2)
        eventually(stands, "it is stalled still")  # who was held up at first may have had some room left
        print(f"{MANY} streams: {without / 1e6:.1f} MB/s without a stalled one, {beside / 1e6:.1f} MB/s beside it ({stalled})")
        for sock in [never_read, *socks]:
            sock.close()
        assert beside >= without / 2, (beside, without)
