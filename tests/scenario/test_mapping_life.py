"""A mapping's life: made, changed, switched off and on, refused, deleted; what happens to its connections and to others."""
import datetime
import socket
import threading

import pytest
from portway import Api, TcpServer, UdpEcho, connect, echo, eventually, free_port, given_ports, receive


@pytest.fixture(scope="module")
def target():
    with TcpServer(echo) as server:
        yield server.port


def works(port, host="127.0.0.1"):
    with connect(port, host, 5) as s:
        s.sendall(b"ping")
        return receive(s, 4) == b"ping"


def closed(port):
    try:
        connect(port, timeout=2).close()
        return False
    except OSError:
        return True


def ended(s):
    s.settimeout(30)
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def open_one(port):
    s = connect(port)
    s.sendall(b"x")
    assert s.recv(1) == b"x"
    return s


def test_create_answers_with_the_port_and_is_active(fleet, target):
    made = fleet.api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                               "target_port": target}, expect=201)
    assert made["source_port"] > 0 and made["status"] in ("pending", "active")
    assert made["traffic_stats"]["bytes_received"] == 0
    fleet.wait_status(made["id"])
    assert works(made["source_port"])


def test_counters_are_equal_to_the_bytes(fleet, target):
    mapping = fleet.mapping(target)
    for _ in range(3):
        assert works(mapping["source_port"])
    fleet.wait_stats(mapping["id"], bytes_received=12, bytes_sent=12, connections_total=3, connections_active=0)


def test_port_taken_on_the_machine_is_an_error_with_the_relays_reason(fleet, target):
    with socket.socket() as holder:
        port = free_port()  # one that the kernel gives to nobody when it is free again
        holder.bind(("0.0.0.0", port))
        holder.listen()
        made = fleet.api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": port, "bind_address": "0.0.0.0",
                                                   "target_host": "127.0.0.1", "target_port": target}, expect=201)
        bad = fleet.wait_status(made["id"], "error")
        assert "address already in use" in str(bad["error"]).lower() and str(port) in str(bad["error"])
        assert "edge-1" in bad["error"]
    fleet.wait_status(made["id"], "active", 60)  # retried by itself
    assert works(port)


def hold_all_but_one(n):
    """n ports in a row of which other programs hold all but the one that is answered; and who holds them."""
    while True:
        first = free_port()
        if first + n > 65536:
            continue
        holders, wanted = [], first + n // 2
        for port in range(first, first + n):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("0.0.0.0", port))
                s.listen()
                holders.append(s)
            except OSError:
                s.close()  # somebody's, who may give it back while the test runs
                wanted = None
                break
        for s in holders[:]:
            if s.getsockname()[1] == wanted:
                s.close()
                holders.remove(s)
        if wanted:
            given_ports.append(wanted)
            return first, wanted, holders
        for s in holders:
            s.close()


@pytest.mark.parametrize("relay_first", [True, False], ids=["the create waits", "the relay comes later"])
def test_picked_port_is_one_that_the_relay_can_have(new_fleet, target, relay_first):
    first, wanted, holders = hold_all_but_one(8)
    try:
        fleet = new_fleet(relays=1 if relay_first else 0, controld_env={
            "CONTROLD_TUNNELS_PORT_MIN": str(first), "CONTROLD_TUNNELS_PORT_MAX": str(first + 7), "CONTROLD_TUNNELS_CREATE_WAIT": "5s"})
        made = fleet.mapping(target, active=False, bind_address="0.0.0.0")
        if relay_first:
            assert (made["source_port"], made["status"]) == (wanted, "active"), made["error"]
        else:
            fleet.add_relay("edge-1")
            assert fleet.wait_status(made["id"], "active", 60)["source_port"] == wanted
        assert works(wanted)
    finally:
        for s in holders:
            s.close()


def test_port_of_another_mapping_is_refused_by_name(fleet, target):
    mapping = fleet.mapping(target)
    answer = fleet.api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": mapping["source_port"],
                                                 "target_host": "127.0.0.1", "target_port": 1}, expect=409)
    assert answer["code"] == "PORT_ALREADY_IN_USE" and str(mapping["source_port"]) in answer["message"]
    udp = fleet.api.post("/api/v1/mappings", {"protocol": "udp", "source_port": mapping["source_port"],
                                              "target_host": "127.0.0.1", "target_port": 1}, expect=201)
    assert udp["source_port"] == mapping["source_port"], "UDP has ports of its own"


def test_inactive_stops_and_active_serves_again(fleet, target):
    mapping = fleet.mapping(target)
    url = f"/api/v1/mappings/{mapping['id']}"
    s = open_one(mapping["source_port"])
    assert fleet.api.put(url, {"status": "inactive"})["status"] == "inactive"
    eventually(lambda: closed(mapping["source_port"]), "port closed")
    s.close()
    fleet.api.put(url, {"status": "active"})
    fleet.wait_status(mapping["id"])
    assert works(mapping["source_port"])


@pytest.mark.parametrize("policy", ["keep", "drain", "cut"])
def test_on_delete(fleet, target, policy):
    mapping = fleet.mapping(target, on_delete=policy, drain="1s")
    s = open_one(mapping["source_port"])
    fleet.api.delete(f"/api/v1/mappings/{mapping['id']}")
    eventually(lambda: closed(mapping["source_port"]), "port closed")
    if policy == "keep":
        for _ in range(20):
            s.sendall(b"y")
            assert s.recv(1) == b"y"
    else:
        assert ended(s)
    s.close()
    fleet.api.get(f"/api/v1/mappings/{mapping['id']}", expect=404)


def answered(s):
    """Whether the next datagram comes back; a port that is closed says so by ICMP."""
    try:
        s.send(b"ping")
        return s.recv(16) == b"ping"
    except (ConnectionRefusedError, TimeoutError):
        return False


@pytest.mark.parametrize("policy", ["keep", "drain", "cut"])
def test_on_delete_of_udp(fleet, policy):
    """Sessions live by the port's own socket, and so does what becomes of them."""
    with UdpEcho() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        mapping = fleet.mapping(server.port, protocol="udp", on_delete=policy, drain="3s")
        url = f"/api/v1/mappings/{mapping['id']}"
        s.settimeout(5)
        s.connect(("127.0.0.1", mapping["source_port"]))
        eventually(lambda: answered(s), "the session works")
        source = server.seen[-1][1]
        fleet.api.delete(url)
        if policy == "keep":
            for _ in range(20):
                eventually(lambda: answered(s), "the session goes on")
            assert server.seen[-1][1] == source
        else:
            eventually(lambda: not answered(s), "the session has ended")
        fleet.api.get(url, expect=404)
        again = fleet.mapping(server.port, protocol="udp", source_port=mapping["source_port"], on_delete="cut")
        eventually(lambda: answered(s), "another mapping has the port")
        assert server.seen[-1][1] != source
        fleet.api.delete(f"/api/v1/mappings/{again['id']}")


def test_change_of_target_holds_for_new_connections_only(fleet, target):
    with TcpServer(lambda conn, _: conn.sendall(b"other")) as other:
        mapping = fleet.mapping(target)
        old = open_one(mapping["source_port"])
        fleet.api.put(f"/api/v1/mappings/{mapping['id']}", {"target_port": other.port})

        def new_target():
            with connect(mapping["source_port"]) as s:
                s.settimeout(2)
                return receive(s, 5) == b"other"

        eventually(new_target, "new target")
        old.sendall(b"still")
        assert receive(old, 5) == b"still"
        old.close()


def test_changes_of_one_mapping_leave_another_alone(fleet, target):
    quiet, busy = fleet.mapping(target), fleet.mapping(target)
    s, errors, stop = open_one(quiet["source_port"]), [], threading.Event()

    def ping():
        try:
            while not stop.is_set():
                s.sendall(b"p")
                assert s.recv(1) == b"p"
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    thread = threading.Thread(target=ping)
    thread.start()
    for i in range(30):
        fleet.api.put(f"/api/v1/mappings/{busy['id']}", {"limits": {"max_connections": 10 + i}})
    fleet.api.delete(f"/api/v1/mappings/{busy['id']}")
    stop.set()
    thread.join()
    assert not errors
    s.close()
    fleet.wait_stats(quiet["id"], connections_total=1)


def in_a_row(n):
    """Sockets that listen on so many ports in a row."""
    while True:
        base, held = free_port(), []
        try:
            for i in range(n):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", base + i))
                held[-1].listen()
            given_ports.extend(range(base, base + n))
            return base, held
        except OSError:
            for s in held:
                s.close()


def test_range_of_ports_counts_up_with_the_target(fleet):
    base, servers = in_a_row(3)
    first, holders = in_a_row(3)  # not of those that controld has picked from
    for s in holders:
        s.close()
    mapping = fleet.mapping(base, source_port=first, source_port_end=first + 2)
    for i, server in enumerate(servers):
        with connect(first + i):
            server.settimeout(30)
            conn, _ = server.accept()
            conn.close()
        server.close()
    fleet.wait_stats(mapping["id"], connections_total=3)


def test_expired_mapping_stops_by_itself(fleet, target):
    def after(**span):
        return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**span)).isoformat().replace("+00:00", "Z")

    mapping = fleet.mapping(target, expires_at=after(hours=1))
    s = open_one(mapping["source_port"])
    fleet.api.put(f"/api/v1/mappings/{mapping['id']}", {"expires_at": after(seconds=5)})
    assert ended(s)
    eventually(lambda: closed(mapping["source_port"]), "port closed")


def test_suspended_user_stops_within_a_second_and_comes_back(fleet, target):
    user = fleet.api.post("/api/v1/users", {"email": "op@example.com", "username": "op", "password": "a long password",
                                            "role": "operator"}, expect=201)
    api = Api(fleet.controld.base)
    api.login("op@example.com", "a long password")
    # an operator may dial only what was granted to the tenant
    answer = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                           "target_port": target}, expect=(201, 403, 422))
    if api.last.status_code == 201:
        bad = open_refused(answer["source_port"])
        assert bad, "loopback is closed unless it was granted"
    tenant = fleet.api.get("/auth/me")["data"]["tenant_id"]
    fleet.api.put(f"/api/v1/tenants/{tenant}", {"dial_allow": ["127.0.0.0/8"]})
    made = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                         "target_port": target}, expect=201)
    fleet.wait_status(made["id"])
    s = open_one(made["source_port"])
    fleet.api.post(f"/api/v1/users/{user['id']}/suspend", {})
    s.settimeout(5)
    eventually(lambda: closed(made["source_port"]), "port closed", 10)
    s.close()
    api.get("/api/v1/mappings", expect=401)
    fleet.api.post(f"/api/v1/users/{user['id']}/activate", {})
    eventually(lambda: not closed(made["source_port"]), "serves again")
    assert works(made["source_port"])


def open_refused(port):
    try:
        with connect(port, timeout=5) as s:
            s.sendall(b"x")
            s.settimeout(5)
            return s.recv(1) == b""
    except OSError:
        return True


def test_live_connections_are_listed_and_one_is_cut(fleet, target):
    mapping = fleet.mapping(target)
    first, second = open_one(mapping["source_port"]), open_one(mapping["source_port"])
    both = {"%s:%d" % s.getsockname() for s in (first, second)}

    def listed():  # a relay that is held up is not waited for
        found = fleet.api.get(f"/api/v1/connections?mapping_id={mapping['id']}")["items"]
        assert {c["remote_addr"] for c in found} == both, found
        return found

    items = eventually(listed, "both are in the list")
    assert all(c["bytes_received"] == 1 and c["bytes_sent"] == 1 and c["mapping_id"] == mapping["id"] for c in items)
    chosen = next(c for c in items if c["remote_addr"] == "%s:%d" % first.getsockname())
    fleet.api.delete(f"/api/v1/connections/{chosen['id']}")
    assert ended(first)
    second.sendall(b"z")
    assert second.recv(1) == b"z"
    first.close()
    second.close()


def test_statistics_over_time(fleet, target):
    mapping = fleet.mapping(target)
    assert works(mapping["source_port"])
    fleet.wait_stats(mapping["id"], bytes_received=4)
    points = eventually(lambda: [p for p in fleet.api.get("/api/v1/stats/traffic?time_range=1h")["points"]
                                 if p["bytes_received"] > 0], "a point with traffic")
    assert points
    system = fleet.api.get("/api/v1/stats/system")
    assert system["total_nodes"] == 1 and system["online_nodes"] == 1 and system["active_mappings"] >= 1


def test_udp_replies_come_from_the_port_that_was_asked(fleet):
    with UdpEcho() as server:
        mapping = fleet.mapping(server.port, protocol="udp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(20)
            for host in ("127.0.0.1", "127.0.0.9"):
                c.sendto(b"q", (host, mapping["source_port"]))
                assert c.recvfrom(10) == (b"q", (host, mapping["source_port"]))
        fleet.wait_stats(mapping["id"], packets_received=2, packets_sent=2, bytes_received=2, bytes_sent=2)


@pytest.mark.parametrize("size", [1, 1200, 1500, 9000, 65000])
def test_udp_sizes(fleet, size):
    with UdpEcho() as server:
        mapping = fleet.mapping(server.port, protocol="udp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(20)
            c.sendto(b"s" * size, ("127.0.0.1", mapping["source_port"]))
            assert c.recv(65535) == b"s" * size
