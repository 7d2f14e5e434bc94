"""Each limit of a mapping bites, is counted by its reason, and lets others pass."""
import socket
import threading
import time

import pytest
from portway import TcpServer, UdpEcho, connect, echo, eventually, receive_all


@pytest.fixture(scope="module")
def target():
    with TcpServer(echo) as server:
        yield server.port


def refused(port, host="127.0.0.1", source=None):
    """True if the tunnel port ends a new connection at once instead of echoing."""
    try:
        with socket.create_connection((host, port), 10, source_address=source) as s:
            s.settimeout(30)
            s.sendall(b"x")
            return s.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):  # a reset may come before connect() has returned
        return True


def reason(fleet, mapping, name, at_least=1):
    return eventually(lambda: fleet.stats(mapping["id"])["refused_by_reason"][name] >= at_least, f"refusal counted as {name}")


def test_max_connections(fleet, target):
    mapping = fleet.mapping(target, limits={"max_connections": 2})
    port = mapping["source_port"]
    first, second = connect(port), connect(port)
    for s in (first, second):
        s.sendall(b"x")
        assert s.recv(1) == b"x"
    assert refused(port)
    reason(fleet, mapping, "limit")
    first.close()
    eventually(lambda: not refused(port), "a place is free again")
    second.close()


def test_max_connections_per_source(fleet, target):
    mapping = fleet.mapping(target, limits={"max_connections_per_source": 1})
    port = mapping["source_port"]
    with connect(port) as one:
        one.sendall(b"x")
        assert one.recv(1) == b"x"
        assert refused(port)
        assert not refused(port, source=("127.0.0.77", 0)), "another address is not affected"
    reason(fleet, mapping, "source")


def test_connection_rate_per_source(fleet, target):
    mapping = fleet.mapping(target, limits={"connection_rate_per_source": 1})
    results = [refused(mapping["source_port"]) for _ in range(30)]  # on a slow machine, too, in less than as many seconds
    assert not results[0] and any(results)
    assert not refused(mapping["source_port"], source=("127.0.0.78", 0))
    reason(fleet, mapping, "source")


@pytest.mark.parametrize("fields,expect", [({"allow": ["10.0.0.0/8"]}, True), ({"allow": ["127.0.0.0/8"]}, False),
                                           ({"deny": ["127.0.0.1"]}, True),
                                           ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.1/32"]}, True)])
def test_allow_and_deny_lists(fleet, target, fields, expect):
    mapping = fleet.mapping(target, **fields)
    assert refused(mapping["source_port"]) == expect
    if expect:
        reason(fleet, mapping, "cidr")


@pytest.mark.parametrize("limit,uploads", [("bandwidth_in", True), ("bandwidth_out", False)])
def test_bandwidth(fleet, limit, uploads):
    rate, size = 4_000_000, 12_000_000

    def serve(conn, _):
        if uploads:
            receive_all(conn)
        else:
            conn.sendall(b"d" * size)

    with TcpServer(serve) as server:
        mapping = fleet.mapping(server.port, limits={limit: rate})
        began = time.monotonic()
        with connect(mapping["source_port"], timeout=60) as s:
            if uploads:
                s.sendall(b"u" * size)
                s.shutdown(socket.SHUT_WR)
            assert len(receive_all(s)) == (0 if uploads else size)
            took = time.monotonic() - began
    # at least (size - what a burst and the kernel's buffers may hold) / rate; a slow machine may take longer
    assert took > (size - 6_000_000) / rate * 0.8


def test_idle_timeout(fleet, target):
    mapping = fleet.mapping(target, timeouts={"idle": 5})  # which the two of us must not be on the way to the first byte
    with connect(mapping["source_port"]) as s:
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        s.settimeout(40)
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
    eventually(lambda: fleet.stats(mapping["id"])["connections_active"] == 0, "ended")


def test_half_close_timeout(fleet):
    over = threading.Event()

    def hold(conn, _):
        receive_all(conn)
        over.wait(120)

    with TcpServer(hold) as server:
        mapping = fleet.mapping(server.port, timeouts={"half_close": 1, "idle": 600})
        with connect(mapping["source_port"]) as s:
            s.shutdown(socket.SHUT_WR)
            s.settimeout(60)
            try:
                assert s.recv(1) == b""  # while the target holds its side open
            except ConnectionResetError:
                pass
            over.set()


def test_limits_change_on_live_connections(fleet, target):
    mapping = fleet.mapping(target)
    with connect(mapping["source_port"]) as s:
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        fleet.api.put(f"/api/v1/mappings/{mapping['id']}", {"timeouts": {"idle": 1}})
        s.settimeout(40)
        try:
            assert s.recv(1) == b"", "the new idle time-out ends the old connection"
        except ConnectionResetError:
            pass


def udp(port, timeout=20):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(timeout)
    s.connect(("127.0.0.1", port))
    return s


def test_udp_sessions_evict_the_oldest(fleet):
    with UdpEcho() as server:
        mapping = fleet.mapping(server.port, protocol="udp", limits={"max_connections": 4})
        clients = [udp(mapping["source_port"]) for _ in range(12)]
        for i, c in enumerate(clients):
            c.send(b"%d" % i)
            assert c.recv(100) == b"%d" % i
        stats = fleet.wait_stats(mapping["id"], connections_total=12, connections_active=4, packets_sent=12)
        assert stats["timed_out"] == 8 and stats["connections_refused"] == 0
        for c in clients:
            c.close()


def test_udp_sessions_per_source(fleet):
    with UdpEcho() as server:
        mapping = fleet.mapping(server.port, protocol="udp", limits={"max_connections_per_source": 2})
        clients = [udp(mapping["source_port"]) for _ in range(3)]
        for c in clients[:2]:
            c.send(b"x")
            assert c.recv(10) == b"x"
        clients[2].send(b"y")
        reason(fleet, mapping, "source")
        assert b"y" not in {data for data, _ in server.seen}
        for c in clients:
            c.close()


def passed(fleet, mapping):
    stats = fleet.stats(mapping["id"])
    return stats["packets_sent"] + stats["dropped_out"]


def test_udp_amplification_is_bounded(fleet):
    """However often somebody asks: a forged address can be made to ask again, so that proves nothing."""
    with UdpEcho(reply=lambda data: [b"a" * 1000] * 10) as server:
        mapping = fleet.mapping(server.port, protocol="udp", udp_amplification_limit=3)
        with udp(mapping["source_port"], 1) as c:
            for asked in range(1, 4):
                c.send(b"q" * 1000)
                eventually(lambda asked=asked: passed(fleet, mapping) == 10 * asked, "all answers came to the relay")
            got = 0
            try:
                while True:
                    got += len(c.recv(2000))
            except TimeoutError:
                pass
            assert got == 9000
    eventually(lambda: fleet.stats(mapping["id"])["dropped_out"] > 0, "drop counted")


def test_udp_idle_session_ends(fleet):
    with UdpEcho() as server:
        mapping = fleet.mapping(server.port, protocol="udp", timeouts={"idle": 4})
        with udp(mapping["source_port"]) as c:
            c.send(b"x")
            assert c.recv(10) == b"x"
        eventually(lambda: fleet.stats(mapping["id"])["connections_active"] == 0, "session ended", 40)


def test_accepted_proxy_header_names_the_client(fleet):
    seen = []

    def remember(conn, _):
        seen.append(conn.recv(1000))

    with TcpServer(remember) as server:
        mapping = fleet.mapping(server.port, accept_proxy_protocol={"enabled": True, "trusted": ["127.0.0.1"]},
                                proxy_protocol="v1", deny=["203.0.113.9"])
        with connect(mapping["source_port"]) as s:
            s.sendall(b"PROXY TCP4 198.51.100.7 127.0.0.1 4242 80\r\nhello")
            eventually(lambda: seen, "delivered")
        assert seen[0].startswith(b"PROXY TCP4 198.51.100.7 ") and b" 4242 " in seen[0]
        # the lists look at the named client, not at the balancer in front
        with connect(mapping["source_port"]) as s:
            s.settimeout(30)
            s.sendall(b"PROXY TCP4 203.0.113.9 127.0.0.1 4242 80\r\nhello")
            try:
                assert s.recv(10) == b""
            except ConnectionResetError:
                pass
        reason(fleet, mapping, "cidr")
        with connect(mapping["source_port"]) as s:
            s.settimeout(30)
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                assert s.recv(10) == b""
            except ConnectionResetError:
                pass
        reason(fleet, mapping, "proxy")
        assert refused(mapping["source_port"], source=("127.0.0.55", 0)), "an untrusted source is refused"


def test_a_mapping_leaves_descriptors_to_others(new_fleet, target):
    """One whose clients take all that they get is refused beyond its share, by its reason; others still come in, and it again when some are free."""
    fleet = new_fleet(relays=0)
    fleet.add_relay("edge-1", {"RELAYD_DESCRIPTORS_RESERVE": "64"}, nofile=64 + 200)
    greedy, other = fleet.mapping(target), fleet.mapping(target)
    held = []

    def holds(port):
        try:  # a reset may come before connect() has returned
            s = connect(port)
            held.append(s)
            s.sendall(b"x")
            return s.recv(1) == b"x"
        except OSError:
            return False

    try:
        taken = sum(holds(greedy["source_port"]) for _ in range(100))
        assert 60 <= taken <= 75, "of the 100 that there are descriptors for"
        assert sum(holds(other["source_port"]) for _ in range(10)) == 10
        fleet.wait_refused(greedy["id"], resource=100 - taken)
        fleet.wait_refused(other["id"])
        for s in held:
            s.close()
        eventually(lambda: holds(greedy["source_port"]), "it comes in again")
    finally:
        for s in held:
            s.close()
